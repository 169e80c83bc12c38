/** Names of devices of the Container Device Interface, such as "nvidia.com/gpu=all": its SPEC.md, "Kind" and "CDI Devices", and its own reader where that says more. */

const label = '[a-zA-Z](?:[\\w.-]*[a-zA-Z0-9])?';
const kindPattern = new RegExp(`^${label}/${label}$`);
const devicePattern = /^[a-zA-Z0-9](?:[\w.:-]*[a-zA-Z0-9])?$/;

/** vendor.com/class */
export const isKind = (text: string): boolean => kindPattern.test(text) && text.split('/')[0]!.length <= 253 && text.split('/')[1]!.length <= 63;

/** The part behind '='. */
export const isDeviceName = (text: string): boolean => devicePattern.test(text);

/** vendor.com/class=name */
export function isCdiName(text: string): boolean {
  const cut = text.indexOf('=');
  return cut > 0 && isKind(text.slice(0, cut)) && isDeviceName(text.slice(cut + 1));
}

/** "nvidia.com/gpu=all" -> nvidia.com/gpu and all */
export function splitName(text: string): { kind: string; device: string } {
  const cut = text.indexOf('=');
  return { kind: text.slice(0, cut), device: text.slice(cut + 1) };
}
