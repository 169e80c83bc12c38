import { type Check, type Finding, works } from '../doctor.ts';
import { packagesOf, type ProgramName } from '../errors.ts';
import { installing } from '../packages.ts';
import { beforeInstalling } from '../sounds.ts';

/** What is asked of the host's programs, and for which words: those that everybody needs are in engines.ts. */
export const uses: { programs: ProgramName[]; does: string; words: string[] }[] = [
  { programs: ['mmdebstrap', 'unshare'], does: 'make Debian roots', words: ['root.debian'] },
  { programs: ['pacstrap'], does: 'make Arch roots', words: ['root.arch'] },
  { programs: ['tar', 'xz', 'zstd', 'gzip'], does: 'unpack archives', words: ['root.tar', 'packed images'] },
  { programs: ['cryptsetup'], does: 'open encrypted volumes', words: ['root.luks', 'encrypted partitions'] },
  { programs: ['lvchange'], does: 'activate LVM volumes', words: ['root.volume', 'root.luks'] },
  { programs: ['e2fsck', 'resize2fs'], does: 'check and grow ext4', words: ['root.image', 'nestbox image'] },
  { programs: ['xfs_repair', 'xfs_growfs'], does: 'check and grow XFS', words: ['root.image with XFS', 'nestbox image'] },
  { programs: ['btrfs'], does: 'grow btrfs', words: ['root.image with btrfs', 'nestbox image'] },
  { programs: ['fsck.f2fs', 'resize.f2fs'], does: 'check and grow F2FS', words: ['root.image with F2FS', 'nestbox image'] },
  { programs: ['Xvfb'], does: 'give a machine a screen in memory', words: ['display = "headless"'] },
  { programs: ['Xephyr'], does: 'open the screen of a machine in a window', words: ['display = "nested"'] },
  { programs: ['pulseaudio'], does: 'give a machine a sound server of its own', words: ['audio = "playback"'] },
  { programs: ['parec'], does: 'write down what a machine plays', words: ['audio.playback.record', 'nestbox run --record-audio'] },
  { programs: ['ip', 'nsenter'], does: 'connect machines to a network', words: ['network = "private"', 'network.bridge'] },
  { programs: ['nft'], does: 'let machines out, and in by ports', words: ['network = "private"'] },
  { programs: ['getfacl'], does: 'see rights to devices that old containers have left', words: ['nestbox audit'] },
];

/** Programs of the host that only some machines need. */
export default {
  title: 'Programs',
  look({ facts }): Finding[] {
    const there = uses.filter(({ programs }) => programs.every((name) => facts.programs[name]));
    return [
      ...(there.length > 0 ? [works(`${there.flatMap(({ programs }) => programs).filter((name, i, all) => all.indexOf(name) === i).join(', ')}`, ...new Set(there.flatMap(({ words }) => words)))] : []),
      ...uses.filter((use) => !there.includes(use)).map(({ programs, does, words }): Finding => {
        const absent = programs.filter((name) => !facts.programs[name]);
        const packages = [...new Set(absent.flatMap(packagesOf))];
        return { state: 'missing', what: `${absent.map((name) => `'${name}'`).join(' and ')} ${absent.length === 1 ? 'is' : 'are'} not installed, to ${does}`, words, mend: `${installing(packages, facts)}${absent.includes('pulseaudio') ? beforeInstalling(facts.sound) : ''}`, packages: absent.includes('pulseaudio') && facts.sound.pipewire ? [] : packages };
      }),
    ];
  },
} satisfies Check;
