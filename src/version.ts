declare const NESTBOX_VERSION: string | undefined;

/** Of the package that the program was built from. */
export const version = typeof NESTBOX_VERSION === 'string' ? NESTBOX_VERSION : 'from source';
