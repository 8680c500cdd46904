// Reboot bundles an application that ends in .ts, and runs JavaScript as it is.
await import("./host.ts")
