import * as v from 'valibot';
import { lacksProgram, type Problem, warns } from '../../errors.ts';
import type { Facts } from '../../facts.ts';
import { defineGrant } from '../../grant.ts';
import { pathOrHome, says } from '../../schema.ts';
import { beforeInstalling, soundFrom } from '../../sounds.ts';

function lacksPulseAudio(facts: Facts): Problem {
  const problem = lacksProgram('pulseaudio', 'give the machine a sound server of its own', facts);
  return { ...problem, mend: `${problem.mend}${beforeInstalling(facts.sound)}` };
}

export default defineGrant({
  summary: 'a sound server of its own: it plays, and can neither listen nor load modules',
  options: v.strictObject({
    record: v.optional(v.pipe(pathOrHome, says('A WAV file on the host that takes down what is played.'))),
  }),

  needs({ record }, { facts }): Problem[] {
    return [
      ...(facts.programs.pulseaudio ? [] : [lacksPulseAudio(facts)]),
      ...(record && !facts.programs.parec ? [lacksProgram('parec', 'write down what is played', facts)] : []),
      ...(facts.sound.pulse && facts.person.uid === 0 ? [warns("root's own sound server is not played into: what stands before it for the machine would run as root", 'run nestbox from your own account through sudo, going on in silence')] : []),
    ];
  },

  edits({ record: asked }, { facts, run, helper }) {
    const record = asked?.startsWith('~') ? `${facts.person.home}${asked.slice(1)}` : asked;
    const folder = `${run}/sound`;
    const server = `${folder}/server`;
    const gate = `${folder}/gate`;
    const configuration = `${run}/daemon.conf`; // nothing is put into a folder that is the person's
    const name = 'sink_name=host sink_properties=device.description=Speakers'; // else its description tells paths of the host
    // The tunnel waits for a server that starts later, as when a machine comes up with the host and nobody has logged in yet, and for one that
    // starts again. Its sink is there while the server is: else all that plays is moved to the other one, so that no program stops.
    const sinks = facts.person.uid === 0 ? [`module-null-sink ${name}`] : [
      `module-tunnel-sink-new server=unix:${facts.sound.pulse ?? `/run/user/${facts.person.uid}/pulse/native`} reconnect_interval_ms=1000 ${name}`,
      'module-null-sink sink_name=nowhere sink_properties=device.description=Nowhere',
    ];
    const environment = {
      HOME: '/nonexistent', PULSE_RUNTIME_PATH: server, PULSE_STATE_PATH: server, PULSE_CONFIG: configuration,
      DBUS_SESSION_BUS_ADDRESS: 'unix:path=/dev/null', DBUS_SYSTEM_BUS_ADDRESS: 'unix:path=/dev/null',
    };
    return {
      before: [
        { kind: 'mkdir', path: folder, mode: 0o700, owner: helper }, // what every account inside may use is not for those of the host
        { kind: 'mkdir', path: server, mode: 0o700, owner: helper },
        { kind: 'mkdir', path: gate, mode: 0o755, owner: helper },
        { kind: 'write', path: configuration, text: 'flat-volumes = no\n', mode: 0o644 }, // a loud program must not turn the host up
      ],
      services: [
        {
          name: 'pulseaudio',
          argv: [
            'pulseaudio', '-n', '-F', '/dev/null', '--daemonize=no', '--use-pid-file=no', '--exit-idle-time=-1', '--disallow-module-loading', '--disallow-exit',
            '--realtime=no', '--high-priority=no', '--disable-shm=yes', '--log-target=stderr',
            // The sinks first: when the socket is there, one of them is. No cookie: only the gate, with the same id, gets in.
            ...(facts.sound.pulse ? [] : ['--fail=no']), // PulseAudio before 16 knows no tunnel that waits: it plays nowhere
            ...sinks.flatMap((sink) => ['-L', sink]), '-L', `module-native-protocol-unix socket=${server}/native auth-anonymous=0 auth-cookie-enabled=0`, '-L', 'module-suspend-on-idle',
          ],
          environment, user: helper, ready: `${server}/native`, leaves: [],
        },
        // PulseAudio lets every client record what any sink plays: the gate passes on playing alone.
        { name: 'gate', argv: ['nestbox-native', 'pulse-gate', `${gate}/native`, `${server}/native`], environment: {}, user: helper, ready: `${gate}/native`, leaves: [] },
        ...(record ? [{
          name: 'recorder',
          argv: ['parec', `--server=unix:${server}/native`, '--device=@DEFAULT_MONITOR@', '--file-format=wav', '--latency-msec=50'],
          environment, user: helper, ready: record, leaves: [], grace: true, output: { path: record, owner: facts.person },
        }] : []),
      ],
      ...soundFrom(gate),
    };
  },

  exposes: () => [{ can: 'sound', what: 'programs inside can make any sound, at any hour', smaller: { say: 'audio = "none"', loses: 'all sound' } }],
});
