import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, rmSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { machineFile, root } from './nestbox.ts';

/** Device nodes of a test's own, and machines to open them in. */

export const machine = (t: TestContext, name: string, more: string) => machineFile(t, `name = "${name}"\nephemeral = true\nnetwork = "none"\n${more}\n${root}`);

/** Two drivers that every Linux has numbers for (Documentation/admin-guide/devices.txt), and that can be opened without any effect. */
export const fuse = { major: 10, minor: 229 };
export const loopControl = { major: 10, minor: 237 };

/** A device node of the test's own, such as a sound card would have: for its group alone. */
export function makeNode(t: TestContext, path: string, { major, minor }: typeof fuse, group: number): boolean {
  rmSync(path, { force: true });
  t.after(() => rmSync(path, { force: true }));
  const { status } = spawnSync('mknod', ['-m', '0600', path, 'c', `${major}`, `${minor}`]);
  if (status !== 0) {
    t.skip('no device nodes can be made here');
    return false;
  }
  chownSync(path, 0, group);
  chmodSync(path, 0o660);
  if (spawnSync('sh', ['-c', `: < ${path}`]).status === 0) return true;
  t.skip(`the kernel has no driver for character device ${major}:${minor}`);
  return false;
}

/** A line of Perl that says "opened", or the number and the words of the error. */
export const open = (path: string) => `if (open(my $f, "+<", "${path}")) { print "opened\\n" } else { print $!+0, " $!\\n" }`;
export const perl = (...lines: string[]) => ['--', 'perl', '-e', lines.join(';')];
