import * as v from 'valibot';
import { lacks } from '../../errors.ts';
import { defineGrant } from '../../grant.ts';

export default defineGrant({
  summary: "the host's own sound server, with all that its programs may do",
  options: v.strictObject({}),

  needs: (_, { facts }) => (facts.sound.pulse ? [] : [lacks('no PulseAudio (or PipeWire) server of the person runs', 'start it, or use audio = "playback"')]),

  edits(_, { facts, run, inside }) {
    const folder = `${run}/pulse`;
    const cookie = facts.sound.cookie;
    return {
      // A copy: libpulse opens the cookie for writing, and on a read-only bind that fails for root inside.
      before: cookie ? [{ kind: 'mkdir', path: folder, mode: 0o711 }, { kind: 'copy', from: cookie, path: `${folder}/cookie`, mode: 0o600, owner: inside }] : [],
      binds: [
        { from: facts.sound.pulse!, to: '/run/nestbox/pulse', write: false, owner: 'as-is' },
        ...(cookie ? [{ from: `${folder}/cookie`, to: '/run/nestbox/pulse-cookie', write: true, owner: 'as-is' as const }] : []),
      ],
      environment: { PULSE_SERVER: 'unix:/run/nestbox/pulse', ...(cookie && { PULSE_COOKIE: '/run/nestbox/pulse-cookie' }) },
    };
  },

  exposes: () => [{ risk: 'high', what: 'programs inside can listen to the microphones and to all that the host plays, and load modules into its sound server' }],
});
