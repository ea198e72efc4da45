// Gauges of work queues, read from them when they are asked for.

import { Gauge, type Registry } from 'prom-client';

/** A queue, as its gauges see it when they are asked. */
export interface QueueView {
  /** Keys that wait, by priority. */
  depthByPriority(): ReadonlyMap<number, number>;
  /** Seconds that each key under work has been worked on. */
  workingSeconds(): readonly number[];
}

/** Registers the gauges; queues that join the map later are shown too. */
export function registerQueueGauges(
  registry: Registry,
  queues: ReadonlyMap<string, QueueView>,
): void {
  const gauge = (
    name: string,
    help: string,
    show: (gauge: Gauge, queue: string, view: QueueView) => void,
  ): void => {
    const labelNames = ['name', 'controller', ...(name === 'workqueue_depth' ? ['priority'] : [])];
    new Gauge({
      name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        this.reset();
        for (const [queue, view] of queues) show(this, queue, view);
      },
    });
  };
  gauge('workqueue_depth', 'Keys that wait.', (self, name, view) => {
    for (const [priority, depth] of new Map([[0, 0], ...view.depthByPriority()])) {
      self.set({ name, controller: name, priority: String(priority) }, depth);
    }
  });
  gauge(
    'workqueue_unfinished_work_seconds',
    'Time of the work that is not done, added up.',
    (self, name, view) => {
      self.set(
        { name, controller: name },
        view.workingSeconds().reduce((sum, next) => sum + next, 0),
      );
    },
  );
  gauge(
    'workqueue_longest_running_processor_seconds',
    'Time of the oldest work that is not done.',
    (self, name, view) => {
      self.set({ name, controller: name }, Math.max(0, ...view.workingSeconds()));
    },
  );
}
