import type { Check, Finding, Patient } from '../doctor.ts';
import { packagesOf, type ProgramName } from '../errors.ts';
import { installing, known } from '../packages.ts';

/** What each machine needs, whatever runs it, and for what. */
const always: [ProgramName, string][] = [['nestbox-native', 'start programs'], ['flock', 'keep two runs of one machine apart']];
const kinds = ['mnt', 'pid', 'ipc', 'uts'];

/** What runs machines. */
export default {
  title: 'What runs machines',
  look(patient): Finding[] {
    const { facts: { programs, supervised }, condition: { namespaces } } = patient;
    const absent = always.filter(([name]) => !programs[name]);
    const without = kinds.filter((kind) => !namespaces.includes(kind));
    const services = supervised && programs.machinectl && programs.systemctl;
    return [
      ...absent.map(([name, reason]): Finding => ({ state: 'missing', what: `'${name}' is not there; it is needed to ${reason}`, words: [], ...(packagesOf(name).length > 0 ? mend(patient, name) : { mend: 'install nestbox again: it is a part of it' }) })),
      ...(without.length === 0 ? [] : [{ state: 'missing' as const, what: `the kernel has no namespaces of the kinds ${without.join(', ')}`, words: [], mend: 'a kernel with CONFIG_NAMESPACES, CONFIG_PID_NS, CONFIG_IPC_NS and CONFIG_UTS_NS' }]),
      // Where something is missing for all of them, none of them runs anything.
      ...[nspawn(patient), lxc(patient), chroot()].map((found) => (absent.length + without.length > 0 ? { state: 'missing' as const, what: `${found.what}: it needs the above as well`, words: found.words, mend: found.mend ?? 'what is told above', packages: found.packages ?? [] } : found)),
      services ? { state: 'works', what: 'systemd runs machines, and lets them come up with the host', words: ['nestbox start', 'nestbox enable'] }
        : supervised ? { state: 'missing', what: "'machinectl' is not installed, by which systemd is asked for machines", words: ['nestbox start', 'nestbox enable'], ...mend(patient, 'machinectl') }
          : { state: 'missing', what: 'systemd does not run this host: machines run in the foreground alone', words: ['nestbox start', 'nestbox enable'], mend: 'nestbox run keeps one running; whoever starts the host can call it' },
    ];
  },
} satisfies Check;

const mend = ({ facts }: Patient, name: ProgramName): Pick<Finding, 'mend' | 'packages'> => ({ mend: installing(packagesOf(name), facts), packages: packagesOf(name) });

function nspawn(patient: Patient): Finding {
  const { systemd, programs } = patient.facts;
  const words = ['engine = "nspawn"'];
  if (!programs['systemd-nspawn']) return { state: 'missing', what: 'systemd-nspawn is not installed', words, ...(known(packagesOf('systemd-nspawn'), patient.facts).length > 0 ? mend(patient, 'systemd-nspawn') : { mend: 'it comes with systemd: on a host without, engine = "lxc" and "chroot" do' }) };
  if (systemd !== null && systemd < 247) return { state: 'missing', what: `systemd-nspawn ${systemd} is too old: nestbox needs 247`, words, mend: 'a newer release of the distribution' };
  if (systemd !== null && systemd < 249) return { state: 'limited', what: `systemd-nspawn ${systemd} cannot map the ids of a root that is used in place (249 can)`, words: [...words, 'root.directory'], mend: 'users = "host", or users = "shift"' };
  return { state: 'works', what: `systemd-nspawn${systemd === null ? '' : ` ${systemd}`}`, words };
}

const lxc = (patient: Patient): Finding => (patient.facts.programs['lxc-start'] ? { state: 'works', what: 'LXC', words: ['engine = "lxc"'] } : { state: 'missing', what: 'LXC is not installed', words: ['engine = "lxc"'], ...mend(patient, 'lxc-start') });

const chroot = (): Finding => ({ state: 'works', what: "nestbox's own chroot", words: ['engine = "chroot"'] });
