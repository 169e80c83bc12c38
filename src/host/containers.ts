import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { attempt } from '../attempt.ts';
import { Complaint } from '../errors.ts';
import type { Facts } from '../facts.ts';
import type { Seen } from '../known/process.ts';
import { readMounts } from '../probe.ts';
import { namespace } from './inside.ts';
import { linux } from './linux.ts';
import { groupsOf } from './running.ts';

/** Containers of this host that nestbox has not made: where they are, and what the kernel shows of one that runs. */

const list = (folder: string): string[] => attempt(() => readdirSync(folder).sort(), []);
const text = (path: string): string | null => attempt(() => readFileSync(path, 'utf8'), null);

/** Of all processes those that are the first of an LXC container, by its name: the control group that LXC makes has it. */
export function leadersOfLxc(): Map<string, number> {
  const found = new Map<string, number>();
  for (const pid of list('/proc').filter((entry) => /^\d+$/.test(entry)).map(Number)) {
    const names = [...(text(`/proc/${pid}/cgroup`) ?? '').matchAll(/\/(?:lxc\.payload\.|lxc\/)([\w.-]+)(?=\/|$)/gm)].map(([, name]) => name!).filter((name) => !found.has(name));
    if (names.length > 0 && /^NSpid:.*\s1$/m.test(text(`/proc/${pid}/status`) ?? '')) for (const name of names) found.set(name, pid);
  }
  return found;
}

/** The first process of a container that runs: as systemd-machined has it, or LXC; null: there is none of that name. `lxc`: all of LXC's, where they have been looked for before. */
export function leaderOf(name: string, lxc: () => ReadonlyMap<string, number> = leadersOfLxc): number | null {
  const machined = /^LEADER=(\d+)$/m.exec(text(`/run/systemd/machines/${name}`) ?? '')?.[1];
  return machined ? Number(machined) : (lxc().get(name) ?? null);
}

/** Names of all that run: of systemd-machined, and of LXC. */
export function runningContainers(): string[] {
  const lxc = list('/proc').filter((entry) => /^\d+$/.test(entry)).flatMap((pid) => /\/(?:lxc\.payload\.|lxc\/)([\w.-]+)/.exec(text(`/proc/${pid}/cgroup`) ?? '')?.[1] ?? []);
  return [...new Set([...list('/run/systemd/machines').filter((name) => !name.startsWith('unit:') && name !== '.host'), ...lxc])].sort();
}

/** Files by which systemd-nspawn and LXC start containers, by their names. */
export function foreignFiles(): Map<string, string> {
  const found = new Map<string, string>();
  for (const folder of ['/etc/systemd/nspawn', '/run/systemd/nspawn', '/var/lib/machines'])
    for (const file of list(folder).filter((entry) => entry.endsWith('.nspawn'))) {
      const name = file.replace(/\.nspawn$/, '');
      if (!found.has(name)) found.set(name, `${folder}/${file}`);
    }
  for (const name of list('/var/lib/lxc')) if (statSync(`/var/lib/lxc/${name}/config`, { throwIfNoEntry: false })) found.set(name, `/var/lib/lxc/${name}/config`);
  return found;
}

/** The drop-ins of the unit of a machine in a folder, in the order in which they are read. */
export function dropIns(name: string, folder: string): string[] {
  const places = [...new Set([folder, '/etc/systemd/system', '/run/systemd/system', '/etc/systemd/system.control', '/run/systemd/system.control'])];
  return places.flatMap((place) => list(`${place}/systemd-nspawn@${name}.service.d`).filter((file) => file.endsWith('.conf')).map((file) => `${place}/systemd-nspawn@${name}.service.d/${file}`));
}

/** Whether a process is in the same namespace as this one; null: only root may be told. */
function isShared(pid: number, kind: 'net' | 'ipc' | 'pid' | 'uts' | 'cgroup'): boolean | null {
  try {
    return readlinkSync(`/proc/${pid}/ns/${kind}`) === readlinkSync(`/proc/self/ns/${kind}`);
  } catch {
    return kind === 'net' || kind === 'pid' ? (namespace(pid, kind) === '' ? null : false) : null;
  }
}

/** All that can be seen of a container from outside, without going into it and without being root where the kernel allows it. */
export async function lookAt(name: string, pid: number, facts: Facts): Promise<Seen> {
  const status = text(`/proc/${pid}/status`);
  if (status === null) throw new Complaint(`there is no process ${pid}`);
  const hosts = readMounts();
  const ours = readMounts(String(pid));
  const root = ours.findLast(({ at }) => at === '/');
  const groups = text(`/proc/${pid}/cgroup`) === null ? [] : groupsOf(pid);
  const mounts = ours.map(({ at, type, readOnly, device, root: part }) => {
    // What is of its own root's file system, and below its root, is not the host's.
    const isOwn = root !== undefined && device === root.device && (part === root.root || part.startsWith(`${root.root.replace(/\/$/, '')}/`)) && root.root !== '/';
    const host = isOwn ? undefined : hosts.find((mount) => mount.device === device && (part === mount.root || part.startsWith(`${mount.root.replace(/\/$/, '')}/`)));
    return { at, type, readOnly, from: host ? `${host.at.replace(/\/$/, '')}${part.slice(host.root.replace(/\/$/, '').length)}` || '/' : null };
  });
  return {
    name, pid, status, uidMap: text(`/proc/${pid}/uid_map`) ?? '', mounts,
    shares: { net: isShared(pid, 'net'), ipc: isShared(pid, 'ipc'), pid: isShared(pid, 'pid'), uts: isShared(pid, 'uts'), cgroup: isShared(pid, 'cgroup') },
    devices: groups.map((group) => text(`${group}/devices.list`)).find((found) => found !== null)?.split('\n').filter(Boolean) ?? (await devicesOfUnit(pid, facts)),
    limits: {
      cpu: narrowest(groups, ['cpu.max', 'cpu.cfs_quota_us'], /^(max|-1)/), memory: narrowest(groups, ['memory.max', 'memory.limit_in_bytes'], /^(max|9223372036854771712)/), tasks: narrowest(groups, ['pids.max'], /^max/),
    },
    onHostDisk: root === undefined ? null : hosts.some(({ device, at }) => device === root.device && ['/', '/var', '/var/lib', '/home', '/srv', '/opt'].includes(at)) ? true : root.type === 'overlay' ? null : false,
  };
}

/** What the nearest group above says that sets a bound, as `200000 100000 (/sys/fs/cgroup/...)`. */
function narrowest(groups: readonly string[], files: readonly string[], none: RegExp): string | null {
  for (const group of groups)
    for (let folder = group; folder.startsWith('/sys/fs/cgroup/'); folder = folder.slice(0, folder.lastIndexOf('/')))
      for (const file of files) {
        const found = text(`${folder}/${file}`)?.trim();
        if (found && !none.test(found)) return `${found} (${folder}/${file})`;
      }
  return null;
}

/** Version 2 of control groups has no list that could be read: what systemd was told is what it enforces. */
async function devicesOfUnit(pid: number, facts: Facts): Promise<string[] | null> {
  const unit = /\/([^/]+\.(?:service|scope))(?:\/|$)/m.exec(text(`/proc/${pid}/cgroup`) ?? '')?.[1];
  if (!unit || !facts.supervised || !facts.programs.systemctl) return null;
  const { code, stdout } = await linux(facts.programs).run(['systemctl', 'show', '--property=DevicePolicy,DeviceAllow', '--', unit]);
  const policy = /^DevicePolicy=(.*)$/m.exec(stdout)?.[1];
  const allowed = [...stdout.matchAll(/^DeviceAllow=(\S+) (\S+)$/gm)].map(([, name, rights]) => `${name} ${rights}`);
  return code !== 0 || !policy ? null : policy === 'auto' && allowed.length === 0 ? ['a *:* rwm'] : allowed;
}
