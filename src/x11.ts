// The part of the X11 protocol that nestbox speaks: keys, access lists, screenshots. Little endian, over Unix sockets.

export { connectX, XConnection, XError } from './x11/connection.ts';
export { changeHosts, listHosts, localUser, type XHost } from './x11/hosts.ts';
export { type Picture, type PixmapImage, rgbOf, screenshot } from './x11/screenshot.ts';
export { type Authorization, generateAuthorization, queryExtension, revokeAuthorization, type XExtension } from './x11/security.ts';
export type { ColourMasks, PixmapFormat, XSetup } from './x11/setup.ts';
export {
  chooseCookie, FamilyLocal, FamilyWild, MagicCookie, parseDisplay, readXauthority, writeXauthority, type XauthorityRecord, type XDisplay,
} from './x11/xauthority.ts';
