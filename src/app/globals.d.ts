/** Written in by the build (vite.config.ts). */
declare const __TRAMONTANE_VERSION__: string;
declare const __WEBLLM_VERSION__: string;
