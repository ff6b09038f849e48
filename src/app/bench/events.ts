/** What `<tramontane-bench>` tells the page around it. */
import type { BenchReport } from '../../bench/report.ts';

/** A run has ended, complete or not: `report.status` and `report.labels` tell. */
export class TramontaneBenchFinishedEvent extends Event {
  static readonly eventName = 'tramontane-bench-finished';
  readonly report: BenchReport;

  constructor(report: BenchReport) {
    super(TramontaneBenchFinishedEvent.eventName, { bubbles: true, composed: true });
    this.report = report;
  }
}

declare global {
  interface HTMLElementEventMap {
    'tramontane-bench-finished': TramontaneBenchFinishedEvent;
  }
}
