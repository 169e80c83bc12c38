import * as v from 'valibot';
import { classEdit } from '../classes.ts';
import { lacks, lacksProgram, type Problem, warns } from '../errors.ts';
import type { Text } from '../edits.ts';
import type { Facts, GraphicsCard } from '../facts.ts';
import { allExposed, defineGrant } from '../grant.ts';
import { needsCard } from '../graphics.ts';
import { container, inputGroup, logind, uinput } from '../inputs.ts';
import { leaseEdits, needsOfLease } from '../leases.ts';
import { managerTexts } from '../managers.ts';
import { nodeEdit } from '../nodes.ts';
import { nvidiaCards, nvidiaEdits, nvidiaPaths } from '../nvidia.ts';
import { bytes, line, says } from '../schema.ts';
import { cardOf, conflictsOf, connectorsOf, selects, selectorText, soundOf } from '../seats.ts';
import { store } from '../store.ts';
import { listed } from '../words.ts';
import alsa from './audio/alsa.ts';

const number = v.pipe(v.number(), v.integer('expected a whole number'));

export default defineGrant({
  summary: 'a place at this computer of its own: a screen, keyboards and mice, a sound card, and a share of the rest',
  onlyBooted: true,
  options: v.strictObject({
    card: v.pipe(v.union([number, line], 'expected the number of a graphics card, its PCI address, or its place such as "pci-0000:01:00.0"'), says('Which graphics card: its number, as in /dev/dri/card0, its PCI address, or the place that udev gives it.')),
    connector: v.optional(v.pipe(line, says('One connector of that card alone, such as "HDMI-A-1"; the whole card if absent.'))),
    input: v.optional(v.pipe(v.array(v.pipe(line, v.minLength(1, 'expected a port, or the name of a device'))), says('Keyboards, mice and whole ports or hubs: a place of udev (ID_PATH) such as "pci-0000:00:14.0-usb-0:1", a link below /dev/input/by-path, VENDOR:PRODUCT such as "046d:c31c", or the name of a device. What comes there later belongs to the seat as well.')), []),
    sound: v.optional(v.pipe(v.union([number, line], 'expected the number, the name or the place of a sound card'), says('Which sound card, with its microphones: its number, its name in /proc/asound/cards, or its place such as "pci-0000:00:1f.3".'))),
    weight: v.optional(v.pipe(v.number(), v.integer('expected a whole number'), v.minValue(1, 'expected 1 to 10000'), v.maxValue(10000, 'expected 1 to 10000'), says('Its share of processors and disks beside other busy machines, of which each has 100.')), 100),
    memory: v.optional(v.pipe(bytes, says('How much memory it may use at most, such as "4G".'))),
  }),

  paths: (_, { nvidia }) => [uinput, ...nvidiaPaths(nvidia)],

  needs(seat, context): Problem[] {
    const { facts, machine } = context;
    const card = cardOf(facts, seat.card);
    const controllers = facts.cgroups.version === 1 ? Object.keys(facts.cgroups.own) : facts.cgroups.version === 2 ? facts.cgroups.controllers : [];
    return [
      ...(facts.programs['nestbox-native'] ? [] : [lacksProgram('nestbox-native', 'give the seat its keyboards', facts)]),
      ...needsCard(facts, card ? card.index : seat.card, () => true, 'graphics card'),
      ...(card ? needsConnector(facts, card.index, seat.connector) : []),
      ...(seat.connector === undefined ? [] : needsOfLease(facts)),
      ...(facts.nodes[uinput] ? [] : [{ ...lacks(`the host has no ${uinput}, by which the seat would get keyboards and mice of its own`, 'load the module (modprobe uinput), or build the kernel with CONFIG_INPUT_UINPUT'), at: ['input'] }]),
      ...(classEdit(facts, 'char-input', false).majors.length > 0 ? [] : [lacks('the host knows no input devices', 'load the module evdev, or build the kernel with CONFIG_INPUT_EVDEV')]),
      ...seat.input.flatMap((text, i) => (facts.seats && !facts.seats.inputs.some((device) => selects(text, device)) ? [{ ...warns(`there is no keyboard or mouse at '${text}' now`, 'one that comes there belongs to the seat, going on'), at: ['input', i] }] : [])),
      ...(seat.sound !== undefined && !soundOf(facts, seat.sound) ? alsa.needs({ card: seat.sound, record: true }, context).map((problem) => ({ ...problem, at: ['sound'] })) : []),
      ...(controllers.includes('cpu') ? [] : [{ ...warns("this host has no 'cpu' controller", 'seats that are busy get what the kernel gives each of their programs, going on'), at: ['weight'] }]),
      ...(seat.memory === undefined || controllers.includes('memory') ? [] : [{ ...lacks("this host has no 'memory' controller to limit memory with", 'mount it, or leave memory out'), at: ['memory'] }]),
      ...conflictsOf(facts, machine, seat),
    ];
  },

  edits(seat, context) {
    const { facts, machine, run, shift, unit } = context;
    const card = cardOf(facts, seat.card)!;
    const sound = seat.sound === undefined ? undefined : soundOf(facts, seat.sound);
    const { before = [], binds = [], devices = [], environment = {} } = sound ? alsa.edits({ card: sound.index, record: true }, context) : {};
    const lent = seat.connector === undefined ? null : leaseEdits(context, card, seat.connector);
    const { devices: others = [], binds: libraries = [], ...driver } = lent ? {} : nvidiaEdits(facts, nvidiaCards([card]), 'host');
    const hasCpu = facts.cgroups.version === 2 ? facts.cgroups.controllers.includes('cpu') : facts.cgroups.own.cpu !== undefined;
    return {
      ...driver,
      environment,
      before: [
        ...before,
        { kind: 'mkdir', path: store.seats, mode: 0o755 },
        { kind: 'seat', machine, inputs: seat.input.map(selectorText) },
        { kind: 'mkdir', path: `${run}/input`, mode: 0o755 },
        { kind: 'tmpfs', at: `${run}/input`, mode: 0o755, bytes: 2 ** 20, owner: { uid: 0, gid: 0 }, devices: true },
        { kind: 'mkdir', path: `${run}/udev`, mode: 0o755 },
        ...(lent?.before ?? []),
      ],
      services: [...(lent?.services ?? []), {
        name: 'input', argv: ['nestbox-native', 'udev-relay', '--seat-of', machine, ...container(facts, machine, unit), `${run}/input`, `${run}/udev`, `${shift}:${shift + inputGroup(facts)}`, '0660'],
        environment: {}, user: { uid: 0, gid: 0 }, ready: `${run}/udev/ready`, leaves: [],
      }],
      binds: [
        ...libraries, ...binds, ...(lent?.binds ?? []),
        { from: `${run}/input`, to: '/dev/input', write: false, owner: 'as-is', folder: true },
        { from: `${run}/udev`, to: '/run/udev', write: false, owner: 'as-is', folder: true },
      ],
      devices: [...(lent ? [] : [card.card, ...(card.render ? [card.render] : [])]).map((path) => nodeEdit(facts, path)), ...others, ...devices],
      classes: [classEdit(facts, 'char-input', false)],
      limits: { ...(hasCpu && { weight: seat.weight }), ...(seat.memory !== undefined && { memory: seat.memory }) },
      // LightDM keeps passwords in memory that is never swapped, and ends where it cannot.
      syscalls: ['@memlock'],
      texts: [...(lent?.texts ?? managerTexts(null, undefined)), logind, ...(lent ? [] : [screenOf(card, nvidiaCards([card]).length > 0)])],
    };
  },

  exposes: ({ sound, connector }, _, machine = allExposed) => [
    { can: 'imitation', what: 'programs inside decide what its screen shows, and read what is typed at its keyboards, also in a login screen that they only imitate' },
    { can: 'driver', what: "the kernel's graphics driver takes commands straight from programs inside" },
    { can: 'typing', what: "programs inside can type at the host's text terminal in the moment in which one is brought to be seen, until the relay has heard of it", at: ['input'] },
    // Whoever has a lease counts as a master in drm_mode_getfb() of the kernel's drm_framebuffer.c, and framebuffers are lent to nobody.
    ...(connector === undefined ? [] : [{ can: 'display' as const, what: 'root inside can look at what the other connectors of its card show, and draw there: the kernel keeps machines apart in what they switch on, not in what they draw', at: ['connector'], smaller: { say: 'leave connector out', loses: 'a second seat on that card' } }]),
    ...(sound === undefined ? [] : [{ can: 'microphone' as const, what: 'programs inside can listen to the microphones of its sound card', at: ['sound'], smaller: { say: 'audio = "playback"', loses: 'a sound card of its own' } }]),
    ...(machine.isHostRoot ? [{ can: 'keys' as const, what: "with users = \"host\" root inside is the host's and can get at its keyboards and screens all the same", smaller: { say: 'users = "own"', loses: 'what the ids of the host are needed for' } }] : []),
  ],
});

function needsConnector(facts: Facts, card: number, connector: string | undefined): Problem[] {
  if (connector === undefined || !facts.seats) return [];
  const there = connectorsOf(facts, { index: card });
  const found = there.find(({ name }) => name === connector);
  if (!found) return [{ ...lacks(`that graphics card has no connector '${connector}'`, there.length > 0 ? `it has ${listed(there.map(({ name }) => name))}` : 'see /sys/class/drm'), at: ['connector'] }];
  return found.connected ? [] : [{ ...warns(`no monitor is at ${connector}`, 'the seat shows nothing before one is, going on'), at: ['connector'] }];
}

/** An X server takes the computer's first card where nobody says another one: xorg.conf(5), BusID, whose numbers are decimal. */
function screenOf({ card, pci }: GraphicsCard, isNvidia: boolean): Text {
  const [, domain, bus, device, unit] = (/^(\w+):(\w+):(\w+)\.(\w)$/.exec(pci ?? '') ?? []).map((part) => Number.parseInt(part, 16));
  const which = pci === null ? `Option "kmsdev" "${card}"` : `BusID "PCI:${bus}@${domain}:${device}:${unit}"`;
  return { path: '/etc/X11/xorg.conf.d/60-nestbox.conf', text: `Section "Device"\n  Identifier "seat"\n  Driver "${isNvidia ? 'nvidia' : 'modesetting'}"\n  ${which}\nEndSection\n` };
}
