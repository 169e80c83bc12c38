import type { Text } from './edits.ts';

/** Where nestbox-native is seen inside. */
export const consoleInside = '/run/nestbox/console';

/**
 * Programs that start a desktop inside, and the setting by which each starts it on the machine's own terminal. Those with a folder for
 * drop-ins are always told; a whole file is put in the place of the root's own only for the one that is named.
 */
export interface Manager {
  /** As docs/desktop.md has it. */
  summary: string;
  dropIn: boolean;
  /** `terminal`: null where it has a screen and none: null where nothing is to be said then. */
  text(terminal: number | null): Text | null;
}

/** LightDM names terminal 7 to the X server also where there is none, and that would end for want of it. */
const withoutTerminal = `sh -c 'for word; do shift; case "$word" in vt[0-9]*) ;; *) set -- "$@" "$word" ;; esac; done; exec X -nolisten local "$@"' X`;

export const managers: Record<string, Manager> = {
  lightdm: {
    summary: 'LightDM',
    dropIn: true,
    // The inside of a machine has one terminal: a second login screen beside the first would have none. It is no seat of logind's own, but of the
    // host's devices. An abstract socket would be the host's as well, where the machine shares its network.
    text: (terminal) => ({
      path: '/etc/lightdm/lightdm.conf.d/60-nestbox.conf',
      text: `[LightDM]\n${terminal === null ? '' : `minimum-vt=${terminal}\n`}logind-check-graphical=false\n[Seat:*]\nxserver-command=${terminal === null ? withoutTerminal : 'X -nolisten local'}\nallow-user-switching=false\n`,
    }),
  },
  sddm: {
    summary: 'SDDM before 0.20, with Xorg',
    dropIn: true,
    text: (terminal) => terminal === null ? null : ({ path: '/etc/sddm.conf.d/60-nestbox.conf', text: `[X11]\nMinimumVT=${terminal}\n` }),
  },
  seatd: {
    summary: 'seatd, for Wayland compositors',
    dropIn: true,
    // As its controlling terminal: in a user namespace the kernel lets nobody else switch it between text and graphics, nor show it. It must be
    // visible when a compositor comes: seatd asks which terminal is, and takes that.
    text: (terminal) => ({
      path: '/etc/systemd/system/seatd.service.d/60-nestbox.conf',
      text: terminal === null ? '[Service]\nEnvironment=SEATD_VTBOUND=0\n' : `[Service]\nStandardInput=tty-force\nTTYPath=/dev/tty${terminal}\nStandardOutput=journal\nStandardError=journal\nExecStartPre=-${consoleInside} console show ${terminal}\n`,
    }),
  },
  xdm: {
    summary: 'XDM',
    dropIn: false,
    text: (terminal) => ({ path: '/etc/X11/xdm/Xservers', text: `:0 local /usr/bin/X :0${terminal === null ? '' : ` vt${terminal}`} -nolisten tcp -nolisten local\n` }),
  },
  lxdm: {
    summary: 'LXDM',
    dropIn: false,
    text: (terminal) => ({ path: '/etc/lxdm/lxdm.conf', text: `[server]\narg=/usr/bin/X${terminal === null ? '' : ` vt${terminal}`} -nolisten tcp -nolisten local\n` }),
  },
};

/** What is told to those that have a folder for it, and to the one that is named. */
export const managerTexts = (terminal: number | null, named: string | undefined): Text[] =>
  Object.entries(managers).filter(([name, { dropIn }]) => dropIn || name === named).flatMap(([, { text }]) => text(terminal) ?? []);
