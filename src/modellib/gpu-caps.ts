/** The device facts that kernels are chosen by. Plain data: plans are tested without a GPU. */
export interface GpuCaps {
  /** WGSL `enable f16` may be used. */
  shaderF16: boolean;
  /** WGSL `enable subgroups` may be used. */
  subgroups: boolean;
  subgroupMinSize: number;
  subgroupMaxSize: number;
  /** At least 256 on every device that WebLLM accepts. */
  maxInvocationsPerWorkgroup: number;
  maxWorkgroupStorageBytes: number;
  maxStorageBindingBytes: number;
  maxStorageBuffersPerStage: number;
  /** A CPU plays the GPU. Compiling costs it seconds a kernel, so fewer and smaller kernels are worth some speed. */
  isSoftware?: boolean;
}
