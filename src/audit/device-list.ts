import { type Rule, smallerFor } from '../audit.ts';
import { touchesHardware } from '../known.ts';

export default {
  summary: 'nobody keeps a list of the devices that may be opened, and root inside can make nodes of them',
  look: (known) => (known.deviceList?.is === false && known.hostRoot?.is !== false && known.asRoot?.is !== false ? [{
    can: touchesHardware(known) ? 'memory' : 'disks', where: known.deviceList.where,
    what: `root inside can make a node of every device of the host and open it: ${touchesHardware(known) ? 'memory (/dev/mem), ' : ''}disks, keyboards, uinput`,
    ...smallerFor(known, { nestbox: 'users = "own"', nspawn: 'DevicePolicy=closed in the unit, as systemd-nspawn@.service has it', lxc: 'lxc.cgroup2.devices.deny = a, and an allow line for each device' }, 'devices that nobody has named'),
  }] : []),
} satisfies Rule;
