import { digest } from '../digest.ts';
import { plan, preparing } from '../plan.ts';
import { unitOf } from '../names.ts';
import { unitsOf } from '../units/files.ts';
import { keyed, type Tries } from './common.ts';

/** What tells one text of a file from others. */
export const digestOf = (text: string): string => digest(text).toString('hex');

/** The unit of systemd itself has these: systemd-nspawn@.service(8). */
const usual = ['/dev/net/tun rwm', 'char-pts rw', '/dev/loop-control rw', 'block-loop rw', 'block-blkext rw', '/dev/mapper/control rw', 'block-device-mapper rw', '/dev/fuse rwm', '/dev/fuse rw'];

/** The programs of the host that it needs run; as a service, systemd has just the files that nestbox would write, and has read them. */
export const units: Tries = (subject) => {
  const { machine, facts } = subject;
  const { edits, origin, way, place, name } = machine;
  const serving = edits.services.map((service) => ({ what: `${service.name} serves it`, asked: keyed(subject, origin.get(service)), as: 'host' as const, try: ['serves', service.ready] as const, expect: 'allowed' as const, layer: 'service' as const }));
  if (way !== 'service' || place.kind !== 'unit') return serving;
  const { files } = unitsOf(machine, facts, preparing(plan(machine, facts)));
  const dropIns = files.filter(({ path }) => path.endsWith('.conf')).map(({ path }) => path);
  const allowed = files.flatMap(({ path, text }) => (dropIns.includes(path) ? [...text.matchAll(/^DeviceAllow=(.+)$/gm)].map(([, line]) => line!) : []));
  const own = (unit: string) => files.some(({ path }) => path.endsWith(`/${unit}`));
  const services = [unitOf(name), ...edits.services.map((service) => unitOf(name, service.name)), unitOf(name, 'network')].filter(own);
  return [
    ...serving,
    ...files.map(({ path, text }) => ({ what: path, asked: 'default', as: 'host' as const, try: ['unit-file', path, digestOf(text)] as const, expect: 'allowed' as const, layer: 'unit-file' as const })),
    ...[place.name, ...services].map((unit) => ({ what: `drop-ins of ${unit}`, asked: 'default', as: 'host' as const, try: ['unit', unit, 'DropInPaths'] as const, layer: 'drop-in' as const, expect: { only: ['/usr/lib/systemd/*', '/lib/systemd/*', '/run/systemd/*/nestbox-attached-*', ...dropIns] } })),
    ...services.map((unit) => ({ what: `${unit} is active`, asked: 'default', as: 'host' as const, try: ['unit', unit, 'ActiveState'] as const, layer: 'service' as const, expect: { only: ['active'], needs: ['active'] } })),
    { what: `device list of ${place.name}`, asked: keyed(subject, ['devices']), as: 'host', try: ['unit', place.name, 'DeviceAllow'], layer: 'list', expect: { only: [...usual, ...allowed], needs: allowed.filter((line) => !line.startsWith('/dev/') || facts.nodes[line.split(' ')[0]!] !== undefined) } },
    { what: `systemd has read the files of ${place.name}`, asked: 'default', as: 'host', try: ['unit', place.name, 'NeedDaemonReload'], layer: 'reload', expect: { only: ['no'], needs: ['no'] } },
  ];
};
