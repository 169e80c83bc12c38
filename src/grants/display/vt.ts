import * as v from 'valibot';
import type { Device, Text } from '../../edits.ts';
import { lacks, lacksProgram, type Problem, warns } from '../../errors.ts';
import type { Facts } from '../../facts.ts';
import { allExposed, defineGrant } from '../../grant.ts';
import { cardOption, freeCards, needsCard, needsFree } from '../../graphics.ts';
import { classEdit } from '../../classes.ts';
import { container, groupCalled, inputGroup, logind, uinput } from '../../inputs.ts';
import { consoleInside, managers, managerTexts } from '../../managers.ts';
import { nodeEdit } from '../../nodes.ts';
import { nvidiaCards, nvidiaEdits, nvidiaPaths } from '../../nvidia.ts';
import { says } from '../../schema.ts';
import { freeTerminal, lastLogin, lastTerminal } from '../../terminals.ts';

/** Major number of terminals: Documentation/admin-guide/devices.txt. */
const ttyMajor = 4;

const framebuffer = '/dev/fb0';

/** What libudev looks at, of the host's own: entries of devices, and lists of those with a tag. Not of power switches: those are the host's. */
const database = ['/run/udev/data', ...['seat', 'master-of-seat', 'uaccess'].map((tag) => `/run/udev/tags/${tag}`)];

/** All of the computer's memory and its hardware, past every driver: mem(4). */
const memory = '/dev/mem';

const nested = { say: 'display = "nested"', loses: 'the whole screen, at native speed' };

export default defineGrant({
  summary: 'a virtual terminal of its own: the whole screen at native speed, with the graphics card, keyboards and mice',
  options: v.strictObject({
    terminal: v.optional(v.pipe(v.number(), v.integer('expected the number of a terminal'), v.minValue(1, 'terminals begin with 1'), v.maxValue(lastTerminal, `terminals end with ${lastTerminal}`), says('Its number, as in /dev/tty8; the first that is free, from 8 on, if absent.'))),
    card: cardOption,
    manager: v.optional(v.pipe(v.picklist(Object.keys(managers)), says('The program that starts the desktop inside, where it takes no drop-ins: its own file is covered for a run by one that names the terminal. LightDM, SDDM and seatd need nothing said. See docs/desktop.md.'))),
    input: v.optional(v.pipe(v.picklist(['all', 'visible']), says("all: the host's keyboards and mice themselves. visible: devices of the machine's own, on which arrives what is typed and moved while its terminal is the visible one. See docs/input.md.")), 'all'),
    'legacy-vesa': v.optional(v.pipe(v.boolean(), says('The old way: Xorg drives the card itself by its vesa driver, through /dev/mem. Whoever is root inside then owns the computer.')), false),
  }),

  paths: ({ input, 'legacy-vesa': vesa }, { nvidia }) => [...(vesa ? [memory] : []), framebuffer, '/dev/input', ...database, ...(input === 'visible' ? [uinput] : []), ...nvidiaPaths(nvidia)],

  needs({ terminal, card, input, 'legacy-vesa': vesa }, { facts, machine, shift }): Problem[] {
    const { terminals } = facts;
    if (!terminals) return [lacks('this computer has no virtual terminals', 'it has no screen of its own, or its kernel was built without: display = "nested" or "headless" work without')];
    return [
      ...(terminal === undefined ? freeTerminal(facts, machine) === null ? [lacks('no virtual terminal is free', 'stop a machine that has one: nestbox list shows them')] : [] : needsTerminal(terminal, terminals, facts.supervised, machine)),
      ...(facts.programs['nestbox-native'] ? [] : [lacksProgram('nestbox-native', 'take the terminal and give it back', facts)]),
      ...(vesa ? needsOfVesa(facts, shift) : [...needsCard(facts, card, () => true, 'graphics card'), ...needsFree(facts, machine, card)]),
      ...(input === 'visible' && !facts.nodes[uinput] ? [{ ...lacks(`the host has no ${uinput}, by which the machine would get keyboards and mice of its own`, 'load the module (modprobe uinput), or build the kernel with CONFIG_INPUT_UINPUT; input = "all" gives the host\'s own devices'), at: ['input'] }] : []),
      ...(inputClass(facts, shift).majors.length > 0 ? [] : [warns('the host has no keyboards and mice', 'those that are plugged in are not seen inside before the machine is started again, going on')]),
    ];
  },

  edits({ terminal: asked, card, manager, input, 'legacy-vesa': vesa }, { facts, machine, run, shift, boots, sharesNetwork, unit }) {
    const terminal = asked ?? freeTerminal(facts, machine)!;
    const cards = vesa ? [] : freeCards(facts, machine, card);
    const { devices = [], ...libraries } = nvidiaEdits(facts, nvidiaCards(cards), 'host');
    const hostInput = shift === 0 && sharesNetwork && input === 'all';
    return {
      ...libraries,
      before: [
        { kind: 'terminal', number: terminal, file: `${run}/terminal` },
        ...(hostInput ? [{ kind: 'mkdir' as const, path: `${run}/udev`, mode: 0o755 }, { kind: 'write' as const, path: `${run}/udev/control`, text: '', mode: 0o644 }] : [
          { kind: 'mkdir' as const, path: `${run}/input`, mode: 0o755 },
          { kind: 'tmpfs' as const, at: `${run}/input`, mode: 0o755, bytes: 2 ** 20, owner: { uid: 0, gid: 0 }, devices: true },
          { kind: 'mkdir' as const, path: `${run}/udev`, mode: 0o755 },
        ]),
      ],
      // udev's messages do not cross into another network namespace, nor into a user namespace; and the nodes have other owners there.
      services: hostInput ? [] : [{
        name: 'input', argv: ['nestbox-native', 'udev-relay', ...(input === 'visible' ? ['--visible', `${terminal}`] : []), ...container(facts, machine, unit), `${run}/input`, `${run}/udev`, `${shift}:${shift + inputGroup(facts)}`, '0660'],
        environment: {}, user: { uid: 0, gid: 0 }, ready: `${run}/udev/ready`, leaves: [],
      }],
      binds: [...(boots ? [{ from: facts.programs['nestbox-native']!, to: consoleInside, write: false, owner: 'as-is' as const }] : []), ...hostInput ? [
        // Read-only: else root inside could give the host's own nodes to anybody. They can be opened for writing all the same.
        ...['/dev/input', ...database].filter((path) => facts.paths[path]).map((path) => ({ from: path, to: path, write: false, owner: 'as-is' as const })),
        // Without it libudev takes it that there is no udev, and listens to nobody: sd-device/device-monitor.c.
        { from: `${run}/udev/control`, to: '/run/udev/control', write: false, owner: 'as-is' as const },
      ] : [
        { from: `${run}/input`, to: '/dev/input', write: false, owner: 'as-is' as const, folder: true as const },
        { from: `${run}/udev`, to: '/run/udev', write: false, owner: 'as-is' as const, folder: true as const },
      ]],
      devices: [
        ...[`/dev/tty${terminal}`, '/dev/tty0'].map((path): Device => ({ path, from: `/dev/tty${terminal}`, type: 'c', major: ttyMajor, minor: terminal, group: ttyGroup(facts), mode: 0o620 })),
        ...cards.flatMap(({ card: node, render }) => [node, ...(render ? [render] : [])]).map((path) => nodeEdit(facts, path)),
        ...(facts.nodes[framebuffer] ? [nodeEdit(facts, framebuffer)] : []), ...(vesa ? [nodeEdit(facts, memory)] : []), ...devices,
      ],
      ...(vesa && { capabilities: ['CAP_SYS_RAWIO'], ...(!boots && { syscalls: ['ioperm', 'iopl'], texts: [vesaDriver] }) }),
      // The numbers of its devices change, and so it may open every input device; but the nodes that it has are of its own, and it can make none.
      classes: [input === 'visible' ? classEdit(facts, 'char-input', false) : inputClass(facts, shift)],
      ...(boots && {
        // LightDM keeps passwords in memory that is never swapped, and ends where it cannot.
        syscalls: ['@memlock', ...(vesa ? ['ioperm', 'iopl'] : [])],
        texts: [...managerTexts(terminal, manager), logind, ...(vesa ? [vesaDriver] : [])],
        // /dev/tty0 is there, and so a login would be started on a terminal that is not.
        links: [{ path: '/etc/systemd/system/getty@tty1.service', to: '/dev/null' }],
      }),
    };
  },

  exposes: ({ input, 'legacy-vesa': vesa }, _, machine = allExposed) => [
    ...(vesa ? [{ can: 'memory' as const, what: 'whoever is root inside owns the computer: through /dev/mem they reach its hardware, and what memory the kernel leaves open there, past all drivers and all other bounds', at: ['legacy-vesa'], smaller: { say: 'leave legacy-vesa out', loses: 'screens that no driver of the kernel knows' } }] : []),
    ...(input === 'all' ? [{ can: 'keys' as const, what: 'programs inside read every key typed on this computer, also those typed on the host and in other machines', smaller: { say: '[display.vt] input = "visible"', loses: 'devices that are no keyboard or pointer, and their lights and shaking' } }] : [
      { can: 'imitation' as const, what: 'programs inside read every key typed while its screen is visible, also in a login screen of the host that it only imitates', at: ['input'], smaller: nested },
      ...(machine.isHostRoot ? [{ can: 'keys' as const, what: "with users = \"host\" root inside is the host's and can get at its keyboards and mice all the same", smaller: { say: 'users = "own"', loses: 'what the ids of the host are needed for' } }] : []),
    ]),
    { can: 'display', what: 'programs inside become master of the screen when nobody else is, and then decide what it shows', smaller: nested },
    ...(vesa ? [] : [{ can: 'driver' as const, what: "the kernel's graphics driver takes commands straight from programs inside", smaller: nested }]),
  ],
});

/** The driver by its name: Xorg would look for a better one first; xorg.conf(5), vesa(4). */
const vesaDriver: Text = { path: '/etc/X11/xorg.conf.d/60-nestbox-vesa.conf', text: 'Section "Device"\n\tIdentifier "nestbox"\n\tDriver "vesa"\nEndSection\n' };

/** The kernel opens /dev/mem to capabilities of the host's own root alone: capable() in drivers/char/mem.c. */
const needsOfVesa = ({ nodes, graphics }: Facts, shift: number): Problem[] => [
  ...(nodes[memory] ? [] : [{ ...lacks(`the host has no ${memory}`, 'its kernel was built without CONFIG_DEVMEM: leave legacy-vesa out'), at: ['legacy-vesa'] }]),
  ...(shift === 0 ? [] : [{ ...lacks(`${memory} opens to the host's own root alone`, 'say users = "host", after reading what that and legacy-vesa expose; or leave legacy-vesa out: a card with a driver of the kernel does without'), at: ['legacy-vesa'] }]),
  ...(graphics.length === 0 ? [] : [{ ...warns("the kernel's own driver has the graphics card, and the vesa driver of Xorg refuses it then", 'boot with nomodeset, or leave legacy-vesa out, going on'), at: ['legacy-vesa'] }]),
];

function needsTerminal(terminal: number, { active, used, machines }: NonNullable<Facts['terminals']>, supervised: boolean, machine: string): Problem[] {
  const at = ['terminal'];
  const free = 'name another one, or leave terminal out for the first that is free';
  const other = machines.find(({ number, name }) => number === terminal && name !== machine);
  if (other) return [{ ...lacks(`the machine '${other.name}' has terminal ${terminal}`, free), at }];
  if (supervised && terminal <= lastLogin) return [{ ...lacks(`terminals 1 to ${lastLogin} are for the host's own logins`, free), at }];
  const by = used.find(({ number }) => number === terminal)?.by;
  const own = machines.some(({ name, number }) => name === machine && number === terminal);
  return !own && (by || terminal === active) ? [{ ...lacks(`the host uses terminal ${terminal}${by ? `: ${by}` : ''}`, free), at }] : [];
}

const inputClass = (facts: Facts, shift: number) => classEdit(facts, 'char-input', shift === 0);

const ttyGroup = (facts: Facts): number | null => groupCalled(facts, 'tty') ?? null;
