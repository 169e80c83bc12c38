import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { folder, nestbox, type Result } from './nestbox.ts';
import { isDying, settle } from './snapshot.ts';

/** What the tests of the sources of roots share. */

/** What a program of the host says; fails when that does. */
export const says = (program: string, ...words: string[]): string => execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 2 ** 26 });

/** A root of one megabyte at `path`: a shell and the usual small programs in one file, and two accounts. */
export function tinyRoot(path: string): string {
  for (const name of ['usr/bin', 'usr/lib', 'etc', 'root', 'home', 'proc', 'sys', 'dev', 'run', 'tmp', 'var/lib']) mkdirSync(`${path}/${name}`, { recursive: true });
  says('chmod', '0755', path);
  says('cp', '/bin/busybox', `${path}/usr/bin/busybox`);
  says('ln', '-s', 'usr/bin', `${path}/bin`);
  for (const name of says('/bin/busybox', '--list').split('\n').filter((name) => name && name !== 'busybox')) says('ln', '-s', 'busybox', `${path}/usr/bin/${name}`);
  writeFileSync(`${path}/etc/passwd`, 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n');
  writeFileSync(`${path}/etc/group`, 'root:x:0:\nnogroup:x:65534:\n');
  // systemd-nspawn asks it for the user that the program is to run as.
  writeFileSync(`${path}/usr/bin/getent`, '#!/bin/sh\n[ "$1" = passwd ] && exec grep "^$2:" /etc/passwd\n[ "$1" = initgroups ] && echo "$2"\n', { mode: 0o755 });
  writeFileSync(`${path}/etc/os-release`, 'ID=tiny\n');
  return path;
}

/** Waits until a loop device is free: who has just opened it, as udev does, has it a moment longer. */
const freed = (device: string): unknown =>
  says('sh', '-c', 'for n in $(seq 500); do [ -e "/sys/block/${1##*/}/loop/backing_file" ] || exit 0; sleep 0.02; done; echo "$1 is in use" >&2; exit 1', 'sh', device);

/** Detaches a loop device, and waits until it is free. */
export function detach(device: string): void {
  says('losetup', '--detach', device);
  freed(device);
}

/** Unmounts what mount(8) has mounted by a loop device of its own, and waits until that is free as well. */
export function unmountLoop(at: string): void {
  const device = says('findmnt', '--noheadings', '--output', 'SOURCE', at).trim();
  says('umount', at);
  freed(device);
}

/** All that can be told of the files below `path`, a line each, and of their extended attributes. Directories have sizes of their own. */
export function listing(path: string): string[] {
  const files = says('find', path, '-printf', '%P|%y|%m|%U:%G|%n|%T@|%l|%s\\0').split('\0').filter(Boolean);
  const devices = says('find', path, '(', '-type', 'c', '-o', '-type', 'b', ')', '-exec', 'stat', '--format=%n %t:%T', '{}', '+').replaceAll(`${path}/`, '').split('\n').filter(Boolean);
  const attributes = execFileSync('getfattr', ['--absolute-names', '-h', '-R', '-d', '-m', '-', '-e', 'hex', '.'], { encoding: 'utf8', cwd: path }).split('\n\n').map((block) => block.trim()).filter(Boolean);
  return [...files.map((line) => (line.split('|')[1] === 'd' ? line.replace(/\|\d+$/, '').replace(/\|\d+(\|[\d.]+\|)$/, '$1') : line)), ...devices, ...attributes].sort();
}

/** A directory seen read-only at another place, for the length of the test. */
export function readOnly(t: TestContext, path: string): string {
  const at = mkdtempSync('/var/tmp/nestbox-ro.');
  says('mount', '--bind', path, at);
  t.after(() => {
    says('umount', at);
    rmdirSync(at);
  });
  says('mount', '-o', 'remount,bind,ro', at);
  return at;
}

export interface Template {
  key: string;
  bytes: number;
  usedBy: string[];
}

export const templates = (): Template[] => JSON.parse(nestbox(['templates', '--json']).stdout) as Template[];

const keyOf = (machine: string): string | null => {
  const record = `/var/lib/nestbox/machines/${machine}/machine.json`;
  return existsSync(record) ? (JSON.parse(readFileSync(record, 'utf8')) as { template: string | null }).template : null;
};

/** Where the template is that a machine is a layer over. */
export function templateOf(machine: string): string {
  const key = keyOf(machine);
  assert.ok(key, `${machine} has a template`);
  return `/var/lib/nestbox/templates/${key}/root`;
}

/** A machine file, with its path; at the end of the test the machine is removed, and its template unless another uses it. */
export function machine(t: TestContext, name: string, text: string): string {
  const path = `${folder(t)}/${name}.toml`;
  writeFileSync(path, `name = "${name}"\n${/^network/m.test(text) ? '' : 'network = "none"\n'}${text}`);
  t.after(() => {
    nestbox(['clean', name]);
    const key = keyOf(name);
    const removed = nestbox(['rm', name]);
    if (!/there is no machine/.test(removed.stderr)) succeeds(removed);
    assert.deepEqual(left(name), []);
    if (key && !keptTemplates.has(key)) nestbox(['templates', '--prune', key]);
  });
  return path;
}

/** Templates that were there before: other tests made them. */
const keptTemplates = new Set(existsSync('/var/lib/nestbox/templates') ? readdirSync('/var/lib/nestbox/templates') : []);

/** Succeeds, or fails with what was said. */
export function succeeds(result: Result): Result {
  assert.equal(result.status, 0, result.stderr);
  return result;
}

/** Makes a machine, and gives the path of its file. */
export function create(t: TestContext, name: string, text: string): string {
  const file = machine(t, name, text);
  nestbox(['rm', name]); // of a test that was cut off
  succeeds(nestbox(['create', file], { timeout: 900_000 })); // an emulated build takes minutes
  return file;
}

/** What a program in a machine says. */
export const inside = (name: string, ...argv: string[]): string => succeeds(nestbox(['run', name, '--', ...argv])).stdout;

const list = (path: string): string[] => (existsSync(path) ? readdirSync(path) : []);

/** All that is left of a machine anywhere, its template apart. */
export function left(name: string): string[] {
  const files = [`/etc/nestbox/${name}.toml`, `/run/nestbox/${name}`, ...['machines', 'scratch', 'journal'].map((kind) => `/var/lib/nestbox/${kind}/${name}`)].filter((path) => existsSync(path));
  const unfinished = list('/var/lib/nestbox/templates').filter((key) => key.startsWith('.') && key.endsWith(`.${name}`)).map((key) => `/var/lib/nestbox/templates/${key}`);
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n').map((line) => line.split(' ')[4] ?? '').filter((at) => at.includes(name));
  return [...files, ...unfinished, ...mounts.map((at) => `mount ${at}`), ...processesOf(name).map(({ pid, command }) => `process ${pid} ${command}`)];
}

/** Processes that have the machine in their command line or among the mounts that they see; those that have been killed are waited for. */
export function processesOf(name: string): { pid: number; command: string }[] {
  let found: { pid: number; command: string }[] = [];
  settle(() => {
    found = processesNow(name);
    return !found.some(({ pid }) => isDying(pid));
  });
  return found;
}

function processesNow(name: string): { pid: number; command: string }[] {
  const own = new RegExp(`(nestbox/|--machine=|\\.)${name}(/|\\s|$)`, 'm');
  return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid).flatMap((pid) => {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      const mounts = readFileSync(`/proc/${pid}/mountinfo`, 'utf8');
      return own.test(command) || own.test(mounts) ? [{ pid: Number(pid), command }] : [];
    } catch {
      return [];
    }
  });
}
