import { setTimeout } from 'node:timers/promises';
import { Complaint } from '../errors.ts';
import { type Host, must } from '../host.ts';
import { machineOf, unitOf } from '../names.ts';
import type { Kinds, Step } from '../step.ts';
import { store } from '../store.ts';
import { never, nothing } from './common.ts';

/** What systemd is told. */
export const units: Kinds<'reload' | 'unit'> = {
  reload: {
    describe: ({ on }) => (on === 'way' ? 'have systemd read its units' : 'on the way back, have systemd read its units'),
    done: never,
    inverse: async ({ on }) => (on === 'back' ? [{ kind: 'reload', on: 'way' }] : []),
    do: ({ on }, host) => (on === 'way' ? must(host, ['systemctl', 'daemon-reload']) : Promise.resolve()),
  },
  unit: {
    describe: ({ name, parts, want }) => (want === 'started' ? `start ${name}` : `stop ${name} and ${parts}`),
    done: never,
    inverse: async (step) => (step.want === 'started' ? [{ ...step, want: 'stopped' }] : nothing()),
    do: (step, host) => (step.want === 'started' ? start(step, host) : stop(step, host)),
  },
};

type Unit = Extract<Step, { kind: 'unit' }>;

/** systemd says of the unit alone that it failed: what did, and its last words, is to be looked for. */
async function start({ name, parts }: Unit, host: Host): Promise<void> {
  const { code, stderr } = await host.run(['systemctl', 'start', name]);
  if (code === 0 && (await settled(unitOf(machineOf(name), 'network'), host))) return;
  const failed = (await host.run(['systemctl', 'list-units', '--failed', '--plain', '--no-legend', '--full', name, parts])).stdout.split('\n').map((line) => line.split(' ')[0]!).filter(Boolean);
  await host.run(['journalctl', '--sync']); // the last words may be on their way
  const words = await host.run(['journalctl', '--no-pager', '--quiet', '--boot', '--output=cat', '--lines=12', ...(failed.length > 0 ? failed : [name]).map((unit) => `--unit=${unit}`)]);
  throw new Complaint(failed.length > 0 ? `${failed.join(' and ')} did not start` : `${name} did not start: ${stderr.trim().split('\n')[0]}`, words.stdout.trim());
}

/** Waits for the unit of the network, where there is one: it waits for the machine. False: it has failed. One that has been stopped again is of a machine that has ended by itself. */
async function settled(unit: string, host: Host): Promise<boolean> {
  if ((await host.kind(`/etc/systemd/system/${unit}`)) === null) return true;
  for (;; await setTimeout(50)) {
    const { stdout } = await host.run(['systemctl', 'show', '--property=ActiveState', '--property=Job', unit]);
    if (!/^(Job=[1-9]|ActiveState=(de)?activating$)/m.test(stdout)) return !/^ActiveState=failed$/m.test(stdout);
  }
}

/** With what it needed: that would be stopped as well, but nobody would wait for it. One that failed is not kept in mind. */
async function stop({ name, parts }: Unit, host: Host): Promise<void> {
  await must(host, ['systemctl', 'stop', name, parts]);
  await host.run(['systemctl', 'reset-failed', name, parts]);
  await finish(machineOf(name), host);
}

/** What the end of its unit should have done, where that was killed in the middle of it. */
async function finish(machine: string, host: Host): Promise<void> {
  if ((await host.kind(store.serviceRun(machine))) === null) return;
  for (const argv of JSON.parse((await host.read(store.endsOfService(machine))) ?? '[]') as string[][]) await host.run(argv);
}
