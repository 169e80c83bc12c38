import type { Edits, Exposure } from './edits.ts';
import type { Facts } from './facts.ts';

/** What the kinds of sound server have in common. */

/** Where the folder of the sound server's socket is seen inside: never the socket alone, which is another file after a restart of what listens on it. */
const seen = '/run/nestbox/pulse';

/** The edits of a machine whose programs play through the socket `native` in `folder` of the host. */
export function soundFrom(folder: string): Pick<Edits, 'binds' | 'environment' | 'texts'> {
  const server = `unix:${seen}/native`;
  return {
    binds: [{ from: folder, to: seen, write: false, owner: 'as-is', folder: true }],
    environment: { PULSE_SERVER: server },
    // For programs that have no variable of ours: those of any account, started by whatever; pulse-client.conf(5).
    texts: [{ path: '/etc/pulse/client.conf.d/60-nestbox.conf', text: `default-server = ${server}\nautospawn = no\n` }],
  };
}

/** What is open to whoever may do all that programs do at a sound server: pulseaudio's own modules run what they are told (module-ladspa-sink, module-pipe-sink). */
export const opensSoundServer: Exposure[] = [
  { can: 'microphone', what: 'programs inside can listen to the microphones and to all that the host plays' },
  { can: 'sound-server', what: "programs inside can load modules into the host's sound server: code that runs as its user, with all of that user's files" },
];

/**
 * The sockets that a $PULSE_SERVER names, in its order: pulse-client.conf(5) and PulseAudio's "Server Strings", `{MACHINE ID}unix:PATH` or the bare PATH, with
 * spaces between several. Servers on the network are left out: what stands before a sound server for a machine speaks to sockets. So are paths that a module's
 * arguments, which have a grammar of their own, could not hold.
 */
export const pulseSockets = (servers: string): string[] =>
  servers.split(/\s+/).flatMap((server) => /^(?:\{[\w-]*\})?(?:unix:)?(\/[\w./@+,-]+)$/.exec(server)?.[1] ?? []);

/**
 * Behind the command that installs PulseAudio, where PipeWire plays: Fedora, Arch and openSUSE let one of the two be installed, and Debian's pipewire-audio, which
 * gnome-core depends on, is in conflict with the package pulseaudio.
 */
export const beforeInstalling = ({ pipewire }: Facts['sound']): string =>
  (pipewire ? ' (look first: where it takes the place of pipewire-audio or of the PulseAudio server of PipeWire, leave it; audio = "pulse" does without, and lets programs listen)' : '');
