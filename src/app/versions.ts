/** What this page was built from. Tests load modules without the build, hence the guards. */
export const versions = {
  tramontane: typeof __TRAMONTANE_VERSION__ === 'undefined' ? 'dev' : __TRAMONTANE_VERSION__,
  webLlm: typeof __WEBLLM_VERSION__ === 'undefined' ? 'dev' : __WEBLLM_VERSION__,
};
