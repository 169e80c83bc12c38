import type { Edits, Exposure } from '../edits.ts';
import { type Problem, warns } from '../errors.ts';
import type { Facts } from '../facts.ts';
import type { Emulation } from './binfmt.ts';

/** What systemd inside is to be told, for all of its services: systemd.unit(5), "service.d". */
const dropIn = '/etc/systemd/system/service.d/60-nestbox.conf';

/**
 * QEMU's user emulator has no clone() with CLONE_NEWNS, by which systemd prepares the credentials of a service: every service that has any would fail (systemd#21511). Older
 * versions of systemd do not know all of the words, and say so in their journal.
 */
const withoutCredentials = `# Written by nestbox: the emulator cannot give services their credentials (clone() with CLONE_NEWNS).
[Service]
LoadCredential=
LoadCredentialEncrypted=
SetCredential=
SetCredentialEncrypted=
ImportCredential=
`;

/**
 * A real-time signal is another one inside, by how many depends on QEMU's version (signal_table_init() of linux-user/signal.c), and SIGRTMIN+3 is the one by which
 * systemd-nspawn has a system shut down. SIGINT is the same everywhere: Ctrl-Alt-Del, which is made to mean power off.
 */
export const killSignal = 'SIGINT';
const ctrlAltDel = { path: '/etc/systemd/system/ctrl-alt-del.target', to: '/usr/lib/systemd/system/poweroff.target' };

/** What is inside for an emulator's sake; `boots`: an init of systemd's. */
export const edited = ({ bind }: Emulation, boots: boolean): Partial<Edits> => ({
  ...(bind && { binds: [{ ...bind, write: false, owner: 'as-is', passes: true }] }),
  ...(boots && { texts: [{ path: dropIn, text: withoutCredentials }], links: [ctrlAltDel] }),
});

/** From which version of systemd on its way to start services asks for a newer QEMU. Tried: 252 with 7.2; 257 with 7.2.22 and 10.0.13 (17 units fail) and with 11.1.3 (none). */
const known = [{ systemd: 255, qemu: 11 }];

/** What will not go well when a system for another processor boots, and is no fault of its own. */
export function needsOfBoot({ version, emulator, setuid }: Emulation, { rootSystemd }: Facts): Problem[] {
  const rights = setuid ? [] : [{ ...warns('set-user-id programs in a system for another processor, such as sudo, do not get the rights of their owners', 'accept = ["emulated-setuid"] gives them, see docs/foreign.md for what else, going on'), at: ['boot'] }];
  const needed = known.find(({ systemd }) => (rootSystemd ?? 0) >= systemd);
  if (!needed || version === null || Number.parseInt(version, 10) >= needed.qemu) return rights;
  return [...rights, { ...warns(`${emulator} is QEMU ${version}, under which most services of the systemd ${rootSystemd} in this root fail (QEMU ${needed.qemu} runs them)`, 'install a newer qemu-user, or take Debian 12, going on'), at: ['boot'] }];
}

/** What flag C of an entry gives away: all of the host shares the entry, and QEMU does not mistrust the variables of whoever starts such a program. */
export const setuidExposure: Exposure = { can: 'root', what: "who starts a set-user-id program for that processor gets its owner's rights, inside and on the host alike, as the emulator loads what it is told to", smaller: { say: 'leave "emulated-setuid" out of accept', loses: 'sudo, su and the like inside' } };
