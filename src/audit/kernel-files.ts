import { type Rule, smallerFor } from '../audit.ts';

export default {
  summary: 'root inside is root of the host, and may write below /proc/sys or /sys',
  look: (known) => {
    if (known.hostRoot?.is === false) return [];
    const places = [...(known.kernelFiles?.is ? [known.kernelFiles.where] : []), ...known.binds.filter(({ is: { from, write } }) => write && /^\/(proc|sys)(\/|$)/.test(from)).map(({ where }) => where)];
    return places.map((where) => ({
      can: 'root', where, what: 'root inside can tell the kernel which program to start as root when another one crashes (kernel/core_pattern) or a device comes (kernel/hotplug, uevent_helper)', ...smallerFor(known, { nestbox: 'leave it out', nspawn: 'leave SYSTEMD_NSPAWN_API_VFS_WRITABLE out', lxc: 'lxc.mount.auto = proc:mixed sys:ro' }, 'changing settings of the kernel'),
    }));
  },
} satisfies Rule;
