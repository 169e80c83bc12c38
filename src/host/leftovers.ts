import { existsSync } from 'node:fs';
import type { Facts, MachineRecord, ServiceRecord } from '../facts.ts';
import { hasLoop } from '../probe.ts';
import { mappingOf, mountPointOf } from '../volumes.ts';

/** What `nestbox clean` takes back besides what journals tell, and `nestbox doctor` tells of. */

/** Units of machines that have ended by themselves, or with the host, and do not come up with it. */
export const endedServices = ({ store: { services } }: Pick<Facts, 'store'>): ServiceRecord[] => services.filter(({ leader, enabled }) => leader === null && !enabled);

/** Machines whose volume is open, whoever has it. */
export const openVolumes = ({ store: { machines }, mounts }: Pick<Facts, 'store' | 'mounts'>): MachineRecord[] =>
  machines.filter(({ name, volume }) => volume && (mounts.some(({ at }) => at === mountPointOf(name)) || existsSync(`/dev/mapper/${mappingOf(name)}`) || (volume.image && hasLoop(volume.path))));
