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

/** The keyboard that is always there, by its node on the host: a word for listens(). */
export const keyboard = "$(cd /sys/class/input; grep -lx 'QEMU Virtio Keyboard' event*/device/name | cut -d/ -f1)";

/**
 * Waits until an X server or a compositor listens to a device, which the shell makes of `node`: it has it open and waits for what comes. An X server opens
 * each of them twice, as it looks at it first. What is typed before, also after its terminal has come to be visible, is heard by nobody.
 */
export const listens = (computer: Computer, reader: 'Xorg' | 'labwc', node: string): Promise<void> =>
  computer.until('sh', '-c', `pid=$(pgrep -x ${reader}) && ls -l /proc/$pid/fd | grep -q "/dev/input/${node}$" && grep -q poll /proc/$pid/wchan`);

/** Waits until nobody has grabbed the host's own devices, or the mirrors: what comes from them is everybody's again. EVIOCGRAB of linux/input.h tells. */
export const free = (computer: Computer, which: 'own' | 'mirrors'): Promise<void> => computer.until('sh', '-c', `cd /sys/class/input
  perl -e 'exit 1 unless @ARGV; for (@ARGV) { open my $file, "<", "/dev/input/$_" or exit 1; ioctl($file, 0x40044590, 1) or exit 1 }' $(grep ${which === 'own' ? '-L' : '-l'} ^nestbox/ event*/device/phys | cut -d/ -f1)`);

/** "Log In", as it is read: sometimes without the second word. */
export const greeter = /Log( ?In)?\b/;

/** From the login screen to an open terminal, by the keyboard alone. */
export async function logIn(computer: Computer, root: string): Promise<void> {
  await reads(computer, greeter);
  // LightDM has asked it, and it has done what there was to do, such as emptying the line in which is typed: pgrep(1) knows the first 15 letters.
  const asked = (times: number) => ['sh', '-c', `test $(grep -c 'Prompt greeter' ${root}/var/log/lightdm/lightdm.log) -ge ${times} && grep -q poll /proc/$(pgrep -x lightdm-gtk-gre)/wchan`];
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
    await listens(computer, reader, node);
    await types(computer, plain(name), `plugged${i}`);
    await computer.unplug(`${name}${i}`);
  }
}
