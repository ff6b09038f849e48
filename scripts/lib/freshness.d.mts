/** False where the site has not been built, or a source of it is newer. */
export function isSiteCurrent(root: string): boolean;

/** True where node_modules holds the versions that package-lock.json names. */
export function isInstalled(root: string): boolean;
