import { readdirSync, readFileSync } from 'node:fs';
import { attempt } from '../attempt.ts';
import type { Facts } from '../facts.ts';
import type { Surroundings } from '../known.ts';
import { connectX, listHosts } from '../x11.ts';
import { readBinfmt } from './foreign.ts';
import { linux } from './linux.ts';

/** What of the host around a container decides on what that can do. Nothing is changed, and no root is needed. */

const list = (folder: string): string[] => attempt(() => readdirSync(folder), []);

/** FamilyLocalHost of the X server (include/misc.h): what `xhost +local:` adds. */
const everybodyHere = 252;

/** The X servers that let in somebody without a key, and say that they would let in everybody; an entry for one user alone is no such. */
async function openDisplays(): Promise<number[]> {
  const numbers = list('/tmp/.X11-unix').flatMap((name) => (/^X\d+$/.test(name) ? [Number(name.slice(1))] : []));
  const found = await Promise.all(numbers.map(async (number) => {
    try {
      const x = await connectX({ socket: `/tmp/.X11-unix/X${number}`, key: null });
      try {
        const { enabled, hosts } = await listHosts(x);
        return !enabled || hosts.some(({ family }) => family === everybodyHere) ? [number] : [];
      } finally {
        x.close();
      }
    } catch {
      return []; // it asks for a key, or is none
    }
  }));
  return found.flat().sort((a, b) => a - b);
}

/** "systemd 252 (252.39-1~deb12u2)" -> the version as the distribution has it. */
export const wholeVersion = (said: string): string | null => /^systemd \d+ \(([^)\s]+)\)/.exec(said)?.[1] ?? null;

/** Lists of devices that `systemctl set-property` has written down, with the unit that they are of: systemd.unit(5), system.control. */
function frozenLists(): Surroundings['leftovers'] {
  return ['/etc/systemd/system.control', '/run/systemd/system.control'].flatMap((folder) => list(folder).filter((unit) => /^(systemd-nspawn@|machine-|nestbox-|lxc@).*\.d$/.test(unit))
    .flatMap((unit) => (list(`${folder}/${unit}`).includes('50-DeviceAllow.conf') ? [{ kind: 'devices' as const, path: `${folder}/${unit}/50-DeviceAllow.conf`, what: `the devices of ${unit.replace(/\.d$/, '')}` }] : [])));
}

/** `loginctl attach` writes these: logind-seat... 72-seat-*.rules, sd-login(3). */
const seatRules = (): Surroundings['leftovers'] =>
  list('/etc/udev/rules.d').filter((name) => /^72-seat-.*\.rules$/.test(name)).map((name) => ({ kind: 'seat', path: `/etc/udev/rules.d/${name}`, what: /ID_SEAT\}="([^"]*)"/.exec(read(`/etc/udev/rules.d/${name}`))?.[1] ?? 'a seat' }));

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** The lines of `getfacl --numeric` that let an id of a container in: those are above the ids of people. */
export function strangersIn(said: string): Surroundings['leftovers'] {
  return said.split('\n\n').flatMap((block) => {
    const path = /^# file: (.*)$/m.exec(block)?.[1];
    return path === undefined ? [] : [...block.matchAll(/^(user|group):(\d{5,}):(r..|.w.)/gm)].filter(([, , id]) => Number(id) >= 0x10000).map(([, kind, id]) => ({ kind: 'access' as const, path, what: `${kind} ${id}` }));
  });
}

async function accessLists(programs: Facts['programs']): Promise<Surroundings['leftovers']> {
  const nodes = ['/dev/dri', '/dev/snd', '/dev/input'].flatMap((folder) => list(folder).map((name) => `${folder}/${name}`)).concat(['/dev/uinput', '/dev/kvm', '/dev/fb0']);
  if (!programs.getfacl) return [];
  const { stdout } = await linux(programs).run(['getfacl', '--absolute-names', '--numeric', '--skip-base', '--', ...nodes]);
  return strangersIn(stdout);
}

/** Which of the leftovers are of this machine: by its name in a unit, or by an id among its own. */
export const concerning = (all: Surroundings, name: string, shift: number): Surroundings => ({
  ...all, looseEmulators: [],
  leftovers: all.leftovers.filter(({ kind, what }) => (kind === 'devices' ? new RegExp(`(@|-)${name}\\.(service|scope)$`).test(what) : kind === 'access' && shift > 0 && Math.floor(Number(/\d+/.exec(what)?.[0]) / 0x10000) === Math.floor(shift / 0x10000))),
});

export async function readSurroundings(facts: Facts): Promise<Surroundings> {
  const run = linux(facts.programs);
  const said = facts.programs['systemd-nspawn'] ? (await run.run(['systemd-nspawn', '--version'])).stdout : '';
  return {
    home: facts.person.home, nspawn: wholeVersion(said), openDisplays: await openDisplays(),
    looseEmulators: readBinfmt(null).entries.filter(({ enabled, flags, file }) => enabled && flags.includes('C') && file !== null && !file.safe).map(({ interpreter }) => interpreter),
    leftovers: [...frozenLists(), ...seatRules(), ...(await accessLists(facts.programs))],
  };
}
