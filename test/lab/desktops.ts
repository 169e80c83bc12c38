import type { Computer } from './computer.ts';
import { person } from './recipe.ts';
import { reads } from './screen.ts';

/** Machines with screens of their own: Xorg under LightDM in 'work', a Wayland compositor with seatd in 'private'. */

/** Where its root is, on the disk with the desktops. */
export const plain = (name: string) => `/srv/desktops/${name}`;
export const home = (root: string) => `${root}/home/${person.name}`;
export const there = (path: string) => ['test', '-s', path];

export const desktop = (name: 'work' | 'private', more = '', root = `directory = "${plain(name)}"`, input = 'all') => `name = "${name}"
boot = true
user = "${person.name}"
${more}
[display.vt]
input = "${input}"
[root]
${root}
`;

/** `text`: the machine file, where it is another one. */
export async function start(computer: Computer, name: 'work' | 'private', more = '', input = 'all', text = desktop(name, more, undefined, input)): Promise<void> {
  await computer.write(`/root/${name}.toml`, text);
  await computer.does('nestbox', 'start', `/root/${name}.toml`);
}

/** Types a command at the terminal that is open on the screen, and waits for what it writes. */
export async function types(computer: Computer, root: string, word: string): Promise<void> {
  await computer.type(`echo ${word} > ${word}\n`);
  await computer.until(...there(`${home(root)}/${word}`));
}

/** "Log In", as it is read: sometimes without the second word. */
export const greeter = /Log( ?In)?\b/;

/** From the login screen to an open terminal, by the keyboard alone. */
export async function logIn(computer: Computer, root: string): Promise<void> {
  await reads(computer, greeter);
  const asked = (times: number) => ['sh', '-c', `test $(grep -c 'Prompt greeter' ${root}/var/log/lightdm/lightdm.log) -ge ${times}`];
  await computer.until(...asked(1));
  await computer.type(`${person.name}\n`);
  await computer.until(...asked(2));
  await computer.type(`${person.password}\n`);
  await computer.until(...there(`${home(root)}/.session`));
  await computer.press('ctrl-alt-t');
  await reads(computer, /ready/);
}

/** A keyboard that comes while the machine runs types as soon as whoever reads keys there has opened it. */
export async function plugs(computer: Computer, name: 'work' | 'private', input = 'all', times = 5): Promise<void> {
  const reader = name === 'work' ? 'Xorg' : 'labwc';
  for (let i = 0; i < times; i++) {
    const path = await computer.plug(`${name}${i}`);
    const event = (await computer.does('basename', (await computer.does('readlink', '-f', path)).trim())).trim();
    const node = input === 'all' ? event : `$(cd /sys/class/input; grep -lx nestbox/${name}/${event} event*/device/phys | cut -d/ -f1)`;
    await computer.until('sh', '-c', `ls -l /proc/$(pgrep -x ${reader})/fd | grep -q "/dev/input/${node}$"`);
    await types(computer, plain(name), `plugged${i}`);
    await computer.unplug(`${name}${i}`);
  }
}
