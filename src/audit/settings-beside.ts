import type { Rule } from '../audit.ts';
import { isOlder } from '../versions.ts';

/** CVE-2026-40226 (PivotRoot=, BindUser=, Ephemeral= of a file that nobody vouches for): fixed in these and later ones of each series. */
const fixed = ['252.39-1~deb12u2', '257.12', '258.6', '259.4', '260'];

/** The fix of the same series decides; between two series there is none, and after the last all are fixed. */
export const isAffected = (version: string): boolean => {
  const series = fixed.find((one) => Number.parseInt(one, 10) === Number.parseInt(version, 10));
  return series === undefined ? isOlder(version, fixed.at(-1)!) : isOlder(version, series);
};

export default {
  summary: 'a .nspawn file beside a root is read, and systemd-nspawn is older than the fixes of CVE-2026-40226',
  look({ besideRoot, host: { nspawn } }) {
    if (!besideRoot?.is || nspawn === null || !isAffected(nspawn)) return [];
    return [{ can: 'root', where: besideRoot.where, what: `whoever made the root made this file as well, and systemd-nspawn ${nspawn} lets such a file mount folders of the host (CVE-2026-40226)`, smaller: { say: 'systemd-nspawn --settings=no, or a newer systemd', loses: 'what the file says' } }];
  },
} satisfies Rule;
