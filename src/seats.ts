import { lacks, type Problem } from './errors.ts';
import type { Claim, Connector, Facts, GraphicsCard, InputDevice, SeatFacts, SeatOptions, SoundCard } from './facts.ts';
import type { Spec } from './spec.ts';

/** Seats: which screen, keyboards, mice and sound card a machine has for itself, and who else wants one of them. */

/** How one entry of `input` tells devices: by the place where they are plugged in, by vendor and product, or by the device's own name. */
export type Selector = { by: 'path' | 'id' | 'name'; text: string };

/** ID_PATH of udev begins with one of these: builtin path_id of systemd. */
const isPlace = /^(pci|platform|acpi|virtio|usb|bcma|ccw|amba|parent)-/;

/** `pci-0000:00:14.0-usb-0:1`, also as a link of /dev/input/by-path; `046d:c31c`; or a name, such as `Logitech USB Keyboard`. */
export function selectorOf(text: string): Selector {
  const link = /^\/dev\/input\/by-path\/(.+?)(-event)?(-(kbd|mouse|joystick))?$/.exec(text)?.[1];
  if (link) return { by: 'path', text: link };
  if (isPlace.test(text)) return { by: 'path', text };
  return /^[0-9a-f]{4}:[0-9a-f]{4}$/.test(text) ? { by: 'id', text } : { by: 'name', text };
}

/** A selector as native/seats.c reads it. */
export const selectorText = (input: string): string => {
  const { by, text } = selectorOf(input);
  return `${by}:${text}`;
};

/** Whether the place `inner` is `outer`, or behind it: a port of that hub, a device at that port. */
const isBehind = (inner: string, outer: string): boolean => inner === outer || (inner.startsWith(outer) && /^[:.-]/.test(inner.slice(outer.length)));

export function selects(input: string, { path, id, name }: Pick<InputDevice, 'path' | 'id' | 'name'>): boolean {
  const { by, text } = selectorOf(input);
  return by === 'path' ? path !== null && isBehind(path, text) : by === 'id' ? id === text : name === text;
}

export const inputsOf = ({ input }: Pick<SeatOptions, 'input'>, { inputs }: Pick<SeatFacts, 'inputs'>): InputDevice[] => inputs.filter((device) => input.some((text) => selects(text, device)));

/** Whether two entries name one device, of those that are there, or one place. */
function overlap(one: string, other: string, inputs: readonly InputDevice[]): boolean {
  const [a, b] = [selectorOf(one), selectorOf(other)];
  return (a.by === b.by && (a.by === 'path' ? isBehind(a.text, b.text) || isBehind(b.text, a.text) : a.text === b.text)) || inputs.some((device) => selects(one, device) && selects(other, device));
}

/** The card of these that is meant: by its number, its PCI address, or the place that udev gives it. */
export function cardOf({ graphics, seats }: Pick<Facts, 'graphics' | 'seats'>, card: string | number): GraphicsCard | undefined {
  const place = seats?.cards.find(({ path }) => path === card)?.index;
  const address = `${card}`.replace(/^pci-/, '');
  return graphics.find(({ index, pci }) => index === card || index === place || (pci !== null && (pci === address || pci === `0000:${address}`)));
}

/** The sound card that is meant: by its number, one of its names, or its place. */
export function soundOf({ sound: { cards }, seats }: Pick<Facts, 'sound' | 'seats'>, card: string | number): SoundCard | undefined {
  const place = seats?.sounds.find(({ path }) => path !== null && (path === card || path === `pci-${card}` || path === `pci-0000:${card}` || (isPlace.test(`${card}`) && isBehind(path, `${card}`))))?.index;
  return cards.find(({ index, id }) => index === card || id === card || index === place) ?? cards.find(({ index, name }) => name === card || `${index}` === card);
}

export const connectorsOf = ({ seats }: Pick<Facts, 'seats'>, { index }: Pick<GraphicsCard, 'index'>): Connector[] => (seats?.connectors ?? []).filter(({ card }) => card === index);

/** What a machine's file says that it has; null: nothing of this. */
export function claimOf({ name, grants }: Pick<Spec, 'name' | 'grants'>): Claim | null {
  const options = (topic: string, kind: string | null) => grants.find((grant) => grant.topic === topic && grant.kind === kind)?.options;
  const [seat, screen, alsa] = [options('seat', null) as Claim['seat'], (options('display', 'vt') ?? options('gpu', 'card')) as Claim['screen'], options('audio', 'alsa') as Claim['alsa']];
  return seat || screen || alsa ? { machine: name, ...(seat && { seat }), ...(screen && { screen }), ...(alsa && { alsa }) } : null;
}

const othersOf = (facts: Facts, machine: string): Claim[] => (facts.seats?.claims ?? []).filter((claim) => claim.machine !== machine);

/** Which other machine's seat has this card, or this connector of it. */
export function seatOfCard(facts: Facts, machine: string, card: GraphicsCard, connector?: string): Claim | undefined {
  return othersOf(facts, machine).find(({ seat }) => seat && cardOf(facts, seat.card)?.index === card.index && (!connector || !seat.connector || seat.connector === connector));
}

/** Which other machine's seat has this sound card. */
export const seatOfSound = (facts: Facts, machine: string, sound: SoundCard): Claim | undefined =>
  othersOf(facts, machine).find(({ seat }) => seat?.sound !== undefined && soundOf(facts, seat.sound)?.index === sound.index);

/** Whether a machine has this sound card by `audio = "alsa"`, which takes the first where none is named. */
export const playsOn = (facts: Pick<Facts, 'sound' | 'seats'>, { alsa }: Claim, { index }: SoundCard): boolean => alsa !== undefined && (alsa.card === undefined ? facts.sound.cards[0] : soundOf(facts, alsa.card))?.index === index;

const taken = (what: string, machine: string, at: (string | number)[]): Problem => ({ ...lacks(`the machine '${machine}' has ${what}`, `nestbox seats shows what is free; nestbox rm ${machine} gives up that machine`), at });

/** What of a seat another machine has. A device belongs to one machine. */
export function conflictsOf(facts: Facts, machine: string, seat: SeatOptions): Problem[] {
  const others = othersOf(facts, machine);
  const card = cardOf(facts, seat.card);
  const owner = card && (seatOfCard(facts, machine, card, seat.connector) ?? others.find(({ screen }) => screen?.card !== undefined && cardOf(facts, screen.card)?.index === card.index));
  const sound = seat.sound === undefined ? undefined : soundOf(facts, seat.sound);
  const player = sound && (seatOfSound(facts, machine, sound) ?? others.find((claim) => playsOn(facts, claim, sound)));
  return [
    ...(owner ? [taken(seat.connector && owner.seat?.connector ? `the connector ${seat.connector} of that graphics card` : 'that graphics card', owner.machine, [seat.connector && owner.seat?.connector ? 'connector' : 'card'])] : []),
    ...seat.input.flatMap((text, i) => {
      const other = others.find((claim) => claim.seat?.input.some((theirs) => overlap(text, theirs, facts.seats?.inputs ?? [])));
      return other ? [taken(`'${text}'`, other.machine, ['input', i])] : [];
    }),
    ...(player ? [taken('that sound card', player.machine, ['sound'])] : []),
  ];
}
