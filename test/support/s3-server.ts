import assert from 'node:assert/strict'
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { S3StoreOptions } from '../../src/storage/s3/s3-options.ts'
import { unpackPackages, type UnpackedPrograms } from './distribution-programs.ts'
import { freePort } from './free-port.ts'
import { makeBucket, type S3Keys } from './s3-buckets.ts'
import type { Scratch } from './scratch.ts'
import { waitUntil } from './wait.ts'

/** A real S3 server with an empty bucket. It lives in the scratch folder, and ends with it. */
export interface S3Server extends S3Keys {
  readonly endpoint: string
  readonly bucket: string
  /** For a store in this bucket. */
  readonly options: S3StoreOptions
  /** Another user, who may do nothing until a bucket's policy allows it. */
  makeUser(name: string): S3Keys
  /** Kills the gateway: nothing answers until it is started again. What was stored stays. */
  stop(): Promise<void>
  start(): Promise<void>
}

const region = 'us-east-1'
const bucket = 'holdfast'

/**
 * Starts a Ceph cluster of one monitor, one OSD that keeps everything in memory, and the S3 gateway: about ten seconds, and
 * 400 MB of memory.
 */
export async function startS3Server(scratch: Pick<Scratch, 'folder'>): Promise<S3Server> {
  const programs = await unpackPackages('ceph', ['radosgw', 'ceph-mon', 'ceph-osd'])
  const folder = join(scratch.folder, 'ceph')
  for (const name of ['mon', 'osd', 'run', 'rgw']) await mkdir(join(folder, name), { recursive: true })
  const port = await freePort()
  const cluster = new Cluster(folder, programs)
  const monitor = `[v1:127.0.0.1:${await freePort()}/0]`
  const fsid = randomUUID()
  await writeFile(cluster.configuration, configurationText({ folder, programs, monitor, fsid, port }))
  cluster.run('monmaptool', ['--create', '--addv', 'a', monitor, '--fsid', fsid, join(folder, 'monmap')])
  cluster.run('osdmaptool', ['--createsimple', '1', join(folder, 'osdmap')])
  const maps = ['--monmap', join(folder, 'monmap'), '--osdmap', join(folder, 'osdmap')]
  cluster.run('ceph-mon', ['--mkfs', '-i', 'a', '--fsid', fsid, ...maps])
  cluster.start('ceph-mon', ['-i', 'a'])
  cluster.run('ceph-osd', ['-i', '0', '--mkfs', '--osd-uuid', randomUUID()])
  await cluster.startOsd()
  const keys = { accessKeyId: 'HOLDFASTTESTKEY', secretAccessKey: randomUUID() }
  const user = ['--uid=test', '--display-name=test', `--access-key=${keys.accessKeyId}`]
  cluster.run('radosgw-admin', ['user', 'create', ...user, `--secret=${keys.secretAccessKey}`])
  const endpoint = `http://127.0.0.1:${port}`
  let gateway: ChildProcess
  const start = async (): Promise<void> => {
    gateway = cluster.start('radosgw', ['-n', 'client.rgw'])
    await waitUntil('the S3 server answers', async () => (await fetch(endpoint)).ok)
  }
  const stop = async (): Promise<void> => {
    gateway.kill('SIGKILL')
    if (gateway.exitCode === null && gateway.signalCode === null) await once(gateway, 'exit')
  }
  await start()
  const makeUser = (name: string): S3Keys => {
    const made = { accessKeyId: `KEYOF${name.toUpperCase()}`, secretAccessKey: randomUUID() }
    const named = [`--uid=${name}`, `--display-name=${name}`, `--access-key=${made.accessKeyId}`]
    cluster.run('radosgw-admin', ['user', 'create', ...named, `--secret=${made.secretAccessKey}`])
    return made
  }
  await makeBucket({ endpoint, ...keys }, bucket)
  const options: S3StoreOptions = {
    endpoint,
    region,
    readCredentials: () => Promise.resolve(keys),
    maxRequests: 16,
    idleTimeoutMs: 30_000,
    callTimeoutMs: 60_000,
  }
  return { endpoint, bucket, ...keys, options, makeUser, start, stop }
}

/** The programs of one cluster: they name its folder in their arguments, so they end with the scratch folder. */
class Cluster {
  readonly configuration: string
  readonly #folder: string
  readonly #programs: UnpackedPrograms

  constructor(folder: string, programs: UnpackedPrograms) {
    this.configuration = join(folder, 'ceph.conf')
    this.#folder = folder
    this.#programs = programs
  }

  run(program: string, args: readonly string[]): void {
    const { status, stderr, stdout } = spawnSync(program, [...args, '-c', this.configuration], {
      cwd: this.#folder,
      env: this.#programs.environment,
      encoding: 'utf8',
      timeout: 60_000,
      killSignal: 'SIGKILL',
    })
    assert.ok(status === 0, `"${program}" failed with ${status}: ${stderr}${stdout}`)
  }

  start(program: string, args: readonly string[]): ChildProcess {
    const log = openSync(join(this.#folder, 'run', `${program}.out`), 'w')
    const started = spawn(program, ['-f', ...args, '-c', this.configuration], {
      cwd: this.#folder,
      env: this.#programs.environment,
      stdio: ['ignore', log, log],
      detached: true,
    })
    started.unref()
    return started
  }

  /** An OSD that comes before the monitor is ready for it ends: "wrong fsid". Then it is started again. */
  async startOsd(): Promise<void> {
    const monitorLog = join(this.#folder, 'run', 'mon.a.log')
    let osd = this.start('ceph-osd', ['-i', '0'])
    await waitUntil('the OSD is up', async () => {
      if (osd.exitCode !== null) osd = this.start('ceph-osd', ['-i', '0'])
      return (await readFile(monitorLog, 'utf8')).includes('1 up, 1 in')
    })
  }
}

interface ClusterPlaces {
  readonly folder: string
  readonly programs: UnpackedPrograms
  readonly monitor: string
  readonly fsid: string
  readonly port: number
}

function configurationText({ folder, programs, monitor, fsid, port }: ClusterPlaces): string {
  const settings = {
    fsid,
    mon_initial_members: 'a',
    mon_host: monitor,
    auth_cluster_required: 'none',
    auth_service_required: 'none',
    auth_client_required: 'none',
    // The gateway's default, "secure", does not work without authentication.
    ms_mon_client_mode: 'crc',
    ms_client_mode: 'crc',
    public_addr: '127.0.0.1',
    cluster_addr: '127.0.0.1',
    paxos_propose_interval: 0.02,
    paxos_min_wait: 0.01,
    mon_tick_interval: 1,
    mon_cluster_log_to_file: false,
    osd_pool_default_size: 1,
    osd_pool_default_min_size: 1,
    osd_pool_default_pg_num: 4,
    osd_pool_default_pgp_num: 4,
    osd_pool_default_pg_autoscale_mode: 'off',
    mon_allow_pool_size_one: true,
    mon_max_pg_per_osd: 2000,
    mon_data_avail_crit: 1,
    osd_objectstore: 'memstore',
    memstore_device_bytes: 4 * 1024 ** 3,
    osd_class_dir: join(programs.libraryFolder, 'rados-classes'),
    plugin_dir: join(programs.libraryFolder, 'ceph'),
    erasure_code_dir: join(programs.libraryFolder, 'ceph/erasure-code'),
    osd_crush_chooseleaf_type: 0,
    mon_data: join(folder, 'mon'),
    osd_data: join(folder, 'osd'),
    run_dir: join(folder, 'run'),
    admin_socket: join(folder, 'run', '$name.asok'),
    log_file: join(folder, 'run', '$name.log'),
    crash_dir: join(folder, 'run'),
    rgw_data: join(folder, 'rgw'),
    rgw_frontends: `beast endpoint=127.0.0.1:${port} tcp_nodelay=1`,
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`)
  return `[global]\n${lines.join('')}`
}
