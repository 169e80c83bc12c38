import * as v from 'valibot';
import { lacks } from '../../errors.ts';
import { defineGrant } from '../../grant.ts';
import { opensSoundServer, soundFrom } from '../../sounds.ts';

export default defineGrant({
  summary: "the host's own sound server, with all that its programs may do",
  options: v.strictObject({}),

  needs: (_, { facts }) => (facts.sound.pulse ? [] : [lacks('no PulseAudio (or PipeWire) server of the person runs', 'start it, or use audio = "playback"')]),

  edits(_, { facts, run }) {
    const folder = `${run}/pulse`;
    const open = `${folder}/open`;
    return {
      // Every account inside may use the socket, so on the host nobody else may reach it.
      before: [{ kind: 'mkdir', path: folder, mode: 0o700, owner: facts.person }, { kind: 'mkdir', path: open, mode: 0o755, owner: facts.person }],
      // Not the server's own folder: that is closed to all accounts but one, and is another one when the person has logged out and in.
      // The gate looks for the server by its path for each client; that lets it in as the person, so that no key is needed inside.
      services: [{ name: 'pulse', argv: ['nestbox-native', 'pulse-gate', '--open', `${open}/native`, facts.sound.pulse!], environment: {}, user: facts.person, ready: `${open}/native`, leaves: [] }],
      ...soundFrom(open),
    };
  },

  exposes: () => opensSoundServer.map((exposure) => ({ ...exposure, smaller: { say: 'audio = "playback"', loses: 'recording, and seeing the volume of other programs' } })),
});
