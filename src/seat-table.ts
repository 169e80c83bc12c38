import type { Claim, Facts, InputDevice } from './facts.ts';
import { cardOf, inputsOf, playsOn, soundOf } from './seats.ts';

/** What seats can be made of on this computer, and who has it. */
export interface SeatRow {
  kind: 'card' | 'connector' | 'input' | 'sound';
  name: string;
  /** As [seat] of a machine file takes it. */
  place: string;
  /** What a person would want to know of it. */
  state: string;
  /** Whose seat has it for itself; null: nobody's. */
  seat: string | null;
  /** Machines that have it beside the host: on a terminal of their own, or without a sound server. */
  shared: string[];
}

const names = (claims: Claim[]): string[] => claims.map(({ machine }) => machine);

/** Which port a device is plugged into: without the part of the device itself (CONFIGURATION.INTERFACE at the end of a place on a USB). */
export const portOf = (path: string): string => path.replace(/(-usb-\d+:[\d.]+):\d+\.\d+$/, '$1');

/** How [seat] best names a device: by where it is plugged in, so that another one there belongs to the seat as well. */
export const placeOf = ({ path, name }: Pick<InputDevice, 'path' | 'name'>): string => (path === null ? name : portOf(path));

export function seatRows(facts: Pick<Facts, 'graphics' | 'sound' | 'seats'>): SeatRow[] {
  const { connectors = [], inputs = [], cards = [], sounds = [], claims = [] } = facts.seats ?? {};
  return [
    ...facts.graphics.flatMap((card): SeatRow[] => {
      const known = cards.find(({ index }) => index === card.index);
      const having = claims.filter(({ seat }) => seat && cardOf(facts, seat.card)?.index === card.index);
      const place = known?.path ?? card.pci ?? `${card.index}`;
      const shared = names(claims.filter(({ screen }) => screen && (screen.card === undefined || cardOf(facts, screen.card)?.index === card.index)));
      return [
        { kind: 'card', name: card.card.replace('/dev/dri/', ''), place, state: [card.driver, ...(known?.isConsole ? ["the host's console"] : [])].join(', '), seat: names(having).join(', ') || null, shared: having.length > 0 ? [] : shared },
        ...connectors.filter(({ card: index }) => index === card.index).map(({ name, connected }): SeatRow => {
          const seat = having.find((claim) => claim.seat?.connector === undefined || claim.seat.connector === name)?.machine ?? null;
          return { kind: 'connector', name, place: `${place}, ${name}`, state: connected ? 'a monitor' : 'nothing connected', seat, shared: having.length > 0 ? [] : shared };
        }),
      ];
    }),
    ...inputs.map((device): SeatRow => {
      const seat = claims.find((claim) => claim.seat && inputsOf(claim.seat, { inputs: [device] }).length > 0)?.machine ?? null;
      return { kind: 'input', name: device.name, place: placeOf(device), state: device.kinds.join(', '), seat, shared: seat ? [] : names(claims.filter(({ screen }) => screen && 'input' in screen)) };
    }),
    ...facts.sound.cards.map((card): SeatRow => {
      const seat = claims.find((claim) => claim.seat?.sound !== undefined && soundOf(facts, claim.seat.sound)?.index === card.index)?.machine ?? null;
      const shared = names(claims.filter((claim) => playsOn(facts, claim, card)));
      return { kind: 'sound', name: card.name ?? card.id, place: sounds.find(({ index }) => index === card.index)?.path ?? card.id, state: card.id, seat, shared: seat ? [] : shared };
    }),
  ];
}

/** A card, or a sound card, that a new seat can have: nobody's, and rather not the one with the host's own terminals on it. */
export function freeOf(rows: readonly SeatRow[], kind: 'card' | 'sound'): SeatRow | undefined {
  const free = rows.filter((row) => row.kind === kind && row.seat === null && row.shared.length === 0);
  return free.find(({ state }) => !state.includes('console')) ?? free[0];
}

/** The table for a machine file. */
export const seatText = (card: string, input: readonly string[], sound: string | null): string => [
  '[seat]', `card   = ${JSON.stringify(card)}`, `input  = [${input.map((place) => JSON.stringify(place)).join(', ')}]`, ...(sound === null ? [] : [`sound  = ${JSON.stringify(sound)}`]), 'weight = 100', '',
].join('\n');
