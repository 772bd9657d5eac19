/** The few things of each runtime that this package uses, declared so that it needs no types of theirs. */
declare module 'cloudflare:sockets' {
  interface Socket {
    readonly readable: ReadableStream<Uint8Array>;
    readonly writable: WritableStream<Uint8Array>;
    readonly opened: Promise<unknown>;
    readonly closed: Promise<unknown>;
    close(): Promise<void>;
  }
  export function connect(
    address: { hostname: string; port: number },
    options: { secureTransport: 'off'; allowHalfOpen: boolean },
  ): Socket;
}

declare module 'node:net' {
  export interface Socket {
    readonly destroyed: boolean;
    readonly readableEnded: boolean;
    read(): Uint8Array | null;
    write(chunk: Uint8Array, done: (error?: Error | null) => void): boolean;
    end(done: () => void): void;
    destroy(): void;
    on(event: string, listener: (...given: unknown[]) => void): void;
    off(event: string, listener: (...given: unknown[]) => void): void;
  }
  export function connect(options: { host: string; port: number; noDelay: boolean }): Socket;
}

declare module 'node:dns/promises' {
  export function resolveSrv(name: string): Promise<{ name: string; port: number }[]>;
  export function resolveTxt(name: string): Promise<string[][]>;
}

declare module 'node:fs/promises' {
  export function readFile(file: URL): Promise<BufferSource>;
}
