const LONGEST_ADDRESS = 8_192;
const MOST_PARAMETERS = 128;
/** Shorter than this, an address cannot have too many parameters to matter. */
const CERTAINLY_SHORT = 256;
const AMPERSAND = 38;

/** True for an address (path and query) that is longer, or has more query parameters, than any operation needs. */
export function isAddressTooLong(address: string | undefined): boolean {
  if (address === undefined || address.length < CERTAINLY_SHORT) return false;
  if (address.length > LONGEST_ADDRESS) return true;
  let parameters = 1;
  for (let at = 0; at < address.length; at += 1) {
    if (address.charCodeAt(at) === AMPERSAND) parameters += 1;
  }
  return parameters > MOST_PARAMETERS;
}
