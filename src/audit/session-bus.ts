import { type Rule, smallerFor } from '../audit.ts';
import { bound } from '../known.ts';

export default {
  summary: 'the message bus of the session, or of the system, is bound without a filter (xdg-dbus-proxy), or the whole folder of the session is',
  look: (known) => [
    ...bound(known, /^\/run\/user(\/\d+(\/bus|\/systemd(\/private)?)?)?$/).map(({ where }) => ({
      can: 'session' as const, where, what: 'programs inside can ask the systemd of your session to start any program (org.freedesktop.systemd1 StartTransientUnit), and read your keyring while it is open',
      ...smallerFor(known, { nestbox: 'leave it out', nspawn: 'the socket of an xdg-dbus-proxy with the names that are needed', lxc: 'the socket of an xdg-dbus-proxy with the names that are needed' }, 'notifications and the like, unless they are let through'),
    })),
    ...bound(known, /^\/(var\/)?run\/dbus(\/system_bus_socket)?$/).map(({ where }) => ({
      can: 'services' as const, where, what: 'programs inside reach all services of the system bus, as the id that they have on the host: what these answer to everybody, and where that id is yours or root\'s, all that you may do there',
      ...smallerFor(known, { nestbox: 'leave it out', nspawn: 'the socket of an xdg-dbus-proxy with the names that are needed', lxc: 'the socket of an xdg-dbus-proxy with the names that are needed' }, 'services of the host (network, power, mounts)'),
    })),
  ],
} satisfies Rule;
