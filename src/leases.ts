import type { Edits, Text } from './edits.ts';
import { lacks, type Problem, warns } from './errors.ts';
import type { Facts, GraphicsCard } from './facts.ts';
import type { Context } from './grant.ts';
import { consoleInside } from './managers.ts';

/** Connectors of one graphics card, lent to several machines: native/lease.c. */

/** The folder with the socket at which root inside is given the connector. */
const inside = '/run/nestbox/lease';

/** Whatever starts an X server inside puts this before it. The server is given the lease as an open file, and there is no terminal that it could have or switch. */
const onLease = `${consoleInside} on-lease ${inside}/socket`;

/** LightDM gives the words after `xserver-command` its own ones: display, seat, cookie. */
export const lightdm: Text = {
  path: '/etc/lightdm/lightdm.conf.d/60-nestbox.conf',
  text: `[LightDM]\nlogind-check-graphical=false\n[Seat:*]\nxserver-command=${onLease} X -nolisten local -sharevts -novtswitch\nallow-user-switching=false\n`,
};

/** What this root cannot do with one connector of a card: there is no node of the card inside that anything but an X server could be told to open. */
export function needsOfLease({ inside: root }: Pick<Facts, 'inside'>): Problem[] {
  if (!root) return []; // it is still to be made
  const { displayManager, seatd } = root;
  const whole = 'leave connector out, and the machine has the whole card; or let LightDM start Xorg in it';
  if (displayManager && displayManager !== 'lightdm') return [{ ...lacks(`${displayManager} in this root cannot be told to start Xorg on one connector of a card`, whole), at: ['connector'] }];
  if (!displayManager && seatd) return [{ ...lacks('a Wayland compositor cannot draw on one connector of a card: seatd gives it cards alone', whole), at: ['connector'] }];
  return displayManager ? [] : [{ ...warns('the root starts no display manager', `what starts Xorg there has to say ${onLease} Xorg -sharevts -novtswitch, going on`), at: ['connector'] }];
}

export const leaseEdits = ({ run, shift, facts }: Pick<Context, 'run' | 'shift' | 'facts'>, { card }: Pick<GraphicsCard, 'card'>, connector: string): Pick<Edits, 'before' | 'services' | 'binds' | 'texts'> => ({
  before: [{ kind: 'mkdir', path: `${run}/lease`, mode: 0o755 }],
  services: [{
    name: 'lease', argv: ['nestbox-native', 'lease', card, connector, `${shift}:${shift}`, run],
    environment: {}, user: { uid: 0, gid: 0 }, ready: `${run}/lease/socket`, leaves: [],
  }],
  binds: [
    { from: `${run}/lease`, to: inside, write: false, owner: 'as-is', folder: true },
    { from: facts.programs['nestbox-native']!, to: consoleInside, write: false, owner: 'as-is' },
  ],
  texts: [lightdm],
});
