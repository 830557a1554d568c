import { collectGauges, readerOf } from '../../src/app/collect-gauges.ts';
import { createTelemetry, type Telemetry, type TelemetryOptions } from '../../src/telemetry/index.ts';
import type { FakeEngineFlags } from './fake-engine.ts';
import { type HttpFixture, type HttpFixtureOptions, startHttp } from './http-fixture.ts';

export interface ObservedFixture extends HttpFixture {
  readonly telemetry: Telemetry;
  /** In process, where every scope is open. */
  get(path: string): Promise<Response>;
  /** Value of one series of `/metrics`; 0 where it is not there. */
  metric(series: string): Promise<number>;
}

/** A server with everything that app wires for observation. */
export async function startObserved(
  flags: FakeEngineFlags = {},
  { telemetry: how = {}, ...options }: HttpFixtureOptions & { readonly telemetry?: Partial<TelemetryOptions> } = {},
): Promise<ObservedFixture> {
  const telemetry = createTelemetry({ version: '0.0.0-test', ...how });
  const server = await startHttp(flags, {
    ...options,
    gateway: { events: telemetry.events, ...options.gateway },
    api: { events: telemetry.events, telemetry: readerOf(telemetry), ...options.api },
  });
  collectGauges(telemetry, server.gateway);
  const get = (path: string): Promise<Response> => server.api.request(new Request(`http://hearth${path}`));
  return Object.assign(Object.create(server) as HttpFixture, {
    telemetry,
    get,
    async metric(series: string) {
      const line = (await (await get('/metrics')).text()).split('\n').find((each) => each.startsWith(`${series} `));
      return line === undefined ? 0 : Number(line.slice(series.length + 1));
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await telemetry[Symbol.asyncDispose]();
    },
  });
}
