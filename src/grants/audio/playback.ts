import * as v from 'valibot';
import { lacksProgram, type Problem } from '../../errors.ts';
import { defineGrant } from '../../grant.ts';
import { pathOrHome, says } from '../../schema.ts';

export default defineGrant({
  summary: 'a sound server of its own: it plays, and can neither listen nor load modules',
  options: v.strictObject({
    record: v.optional(v.pipe(pathOrHome, says('A WAV file on the host that takes down what is played.'))),
  }),

  needs({ record }, { facts }): Problem[] {
    return [
      ...(facts.programs.pulseaudio ? [] : [lacksProgram('pulseaudio', 'give the machine a sound server of its own')]),
      ...(record && !facts.programs.parec ? [lacksProgram('parec', 'write down what is played')] : []),
    ];
  },

  edits({ record: asked }, { facts, run, helper }) {
    const record = asked?.startsWith('~') ? `${facts.person.home}${asked.slice(1)}` : asked;
    const folder = `${run}/sound`;
    const server = `${folder}/server`;
    const sink = facts.sound.pulse ? `module-tunnel-sink sink_name=host server=unix:${facts.sound.pulse}${facts.sound.cookie ? ` cookie=${facts.sound.cookie}` : ''}` : 'module-null-sink sink_name=host';
    const environment = { HOME: server, XDG_RUNTIME_DIR: server, PULSE_RUNTIME_PATH: server, PULSE_STATE_PATH: server };
    return {
      before: [
        { kind: 'mkdir', path: folder, mode: 0o755, owner: helper },
        { kind: 'mkdir', path: server, mode: 0o700, owner: helper },
      ],
      services: [
        {
          name: 'pulseaudio',
          argv: [
            'pulseaudio', '-n', '-F', '/dev/null', '--daemonize=no', '--use-pid-file=no', '--exit-idle-time=-1', '--realtime=no', '--high-priority=no', '--disallow-module-loading', '--disallow-exit',
            '-L', `module-native-protocol-unix socket=${server}/native`, '-L', sink,
          ],
          environment, user: helper, ready: `${server}/native`, leaves: [],
        },
        // PulseAudio lets every client record what any sink plays: the gate passes on playing alone.
        { name: 'gate', argv: ['nestbox-native', 'pulse-gate', `${folder}/native`, `${server}/native`], environment: {}, user: helper, ready: `${folder}/native`, leaves: [] },
        ...(record ? [{
          name: 'recorder',
          argv: ['parec', `--server=unix:${server}/native`, '--device=host.monitor', '--file-format=wav', '--latency-msec=50'],
          environment, user: helper, ready: record, leaves: [], grace: true, output: { path: record, owner: facts.person },
        }] : []),
      ],
      binds: [{ from: `${folder}/native`, to: '/run/nestbox/pulse', write: false, owner: 'as-is' }],
      environment: { PULSE_SERVER: 'unix:/run/nestbox/pulse' },
    };
  },

  exposes: () => [{ risk: 'low', what: 'programs inside can make any sound, at any hour' }],
});
