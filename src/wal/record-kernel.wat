;; Checks the CRCs of WAL records: CRC-32C (port/pg_crc32c.h), slicing by sixteen.
;; Built by scripts/build-wasm.ts into record-kernel-wasm.ts; a test rebuilds it and compares.
(module
  (import "env" "memory" (memory 1))

  ;; The tables lie at 0: table k holds, for every byte, its CRC followed by k zero bytes, 256 entries of 4 bytes each.
  ;; Records lie from 65536 on, aligned to 8 bytes.

  ;; Must be called once. The polynomial has its bits reversed.
  (func (export "build_tables")
    (local $byte i32) (local $crc i32) (local $bit i32) (local $at i32)
    (loop $next_byte
      (local.set $crc (local.get $byte))
      (local.set $bit (i32.const 8))
      (loop $next_bit
        (local.set $crc (i32.xor
          (i32.shr_u (local.get $crc) (i32.const 1))
          (i32.and (i32.sub (i32.const 0) (i32.and (local.get $crc) (i32.const 1))) (i32.const 0x82F63B78))))
        (br_if $next_bit (local.tee $bit (i32.sub (local.get $bit) (i32.const 1)))))
      (i32.store (i32.shl (local.get $byte) (i32.const 2)) (local.get $crc))
      (br_if $next_byte (i32.lt_u (local.tee $byte (i32.add (local.get $byte) (i32.const 1))) (i32.const 256))))
    (loop $next_entry
      (local.set $crc (i32.load (local.get $at)))
      (i32.store offset=1024 (local.get $at) (i32.xor
        (i32.load (i32.and (i32.shl (local.get $crc) (i32.const 2)) (i32.const 0x3FC)))
        (i32.shr_u (local.get $crc) (i32.const 8))))
      (br_if $next_entry (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4))) (i32.const 15360)))))

  ;; Checks the records that follow each other from $at on and are whole by $end, until one is wrong. Gives where the first
  ;; one begins that is not whole or has an impossible length or a wrong CRC. XLogRecord in access/xlogrecord.h: its length
  ;; is at 0, its CRC at 20, and covers what is behind the header (24 bytes), then the 20 bytes before the CRC.
  (func (export "check_records") (param $at i32) (param $end i32) (result i32)
    (local $length i32)
    (block $done
      (loop $next
        (br_if $done (i32.lt_u (i32.sub (local.get $end) (local.get $at)) (i32.const 24)))
        (local.set $length (i32.load (local.get $at)))
        (br_if $done (i32.lt_u (local.get $length) (i32.const 24)))
        (br_if $done (i32.gt_u (local.get $length) (i32.sub (local.get $end) (local.get $at))))
        (br_if $done (i32.ne
          (i32.load offset=20 (local.get $at))
          (i32.xor (i32.const -1)
            (call $crc
              (call $crc
                (i32.const -1)
                (i32.add (local.get $at) (i32.const 24))
                (i32.add (local.get $at) (local.get $length)))
              (local.get $at)
              (i32.add (local.get $at) (i32.const 20))))))
        (local.set $at (i32.add
          (local.get $at)
          (i32.and (i32.add (local.get $length) (i32.const 7)) (i32.const -8))))
        (br $next)))
    (local.get $at))

  ;; Goes on with a CRC. In one function: calls are not inlined, and take a third of the time.
  (func $crc (param $crc i32) (param $at i32) (param $end i32) (result i32)
    (local $a i32) (local $b i32) (local $c i32) (local $d i32)
    (block $no_sixteen
      (loop $next
        (br_if $no_sixteen (i32.lt_u (i32.sub (local.get $end) (local.get $at)) (i32.const 16)))
        (local.set $a (i32.xor (i32.load (local.get $at)) (local.get $crc)))
        (local.set $b (i32.load offset=4 (local.get $at)))
        (local.set $c (i32.load offset=8 (local.get $at)))
        (local.set $d (i32.load offset=12 (local.get $at)))
        (local.set $crc (i32.xor
          (i32.xor
            (i32.xor
              (i32.xor
                (i32.xor
                  (i32.load offset=3072 (i32.and (i32.shl (local.get $d) (i32.const 2)) (i32.const 0x3FC)))
                  (i32.load offset=2048 (i32.and (i32.shr_u (local.get $d) (i32.const 6)) (i32.const 0x3FC))))
                (i32.xor
                  (i32.load offset=1024 (i32.and (i32.shr_u (local.get $d) (i32.const 14)) (i32.const 0x3FC)))
                  (i32.load offset=0 (i32.and (i32.shr_u (local.get $d) (i32.const 22)) (i32.const 0x3FC)))))
              (i32.xor
                (i32.xor
                  (i32.load offset=7168 (i32.and (i32.shl (local.get $c) (i32.const 2)) (i32.const 0x3FC)))
                  (i32.load offset=6144 (i32.and (i32.shr_u (local.get $c) (i32.const 6)) (i32.const 0x3FC))))
                (i32.xor
                  (i32.load offset=5120 (i32.and (i32.shr_u (local.get $c) (i32.const 14)) (i32.const 0x3FC)))
                  (i32.load offset=4096 (i32.and (i32.shr_u (local.get $c) (i32.const 22)) (i32.const 0x3FC))))))
            (i32.xor
              (i32.xor
                (i32.load offset=11264 (i32.and (i32.shl (local.get $b) (i32.const 2)) (i32.const 0x3FC)))
                (i32.load offset=10240 (i32.and (i32.shr_u (local.get $b) (i32.const 6)) (i32.const 0x3FC))))
              (i32.xor
                (i32.load offset=9216 (i32.and (i32.shr_u (local.get $b) (i32.const 14)) (i32.const 0x3FC)))
                (i32.load offset=8192 (i32.and (i32.shr_u (local.get $b) (i32.const 22)) (i32.const 0x3FC))))))
          (i32.xor
            (i32.xor
              (i32.load offset=15360 (i32.and (i32.shl (local.get $a) (i32.const 2)) (i32.const 0x3FC)))
              (i32.load offset=14336 (i32.and (i32.shr_u (local.get $a) (i32.const 6)) (i32.const 0x3FC))))
            (i32.xor
              (i32.load offset=13312 (i32.and (i32.shr_u (local.get $a) (i32.const 14)) (i32.const 0x3FC)))
              (i32.load offset=12288 (i32.and (i32.shr_u (local.get $a) (i32.const 22)) (i32.const 0x3FC)))))))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br $next)))
    (block $no_four
      (loop $next
        (br_if $no_four (i32.lt_u (i32.sub (local.get $end) (local.get $at)) (i32.const 4)))
        (local.set $a (i32.xor (i32.load (local.get $at)) (local.get $crc)))
        (local.set $crc
          (i32.xor
            (i32.xor
              (i32.load offset=3072 (i32.and (i32.shl (local.get $a) (i32.const 2)) (i32.const 0x3FC)))
              (i32.load offset=2048 (i32.and (i32.shr_u (local.get $a) (i32.const 6)) (i32.const 0x3FC))))
            (i32.xor
              (i32.load offset=1024 (i32.and (i32.shr_u (local.get $a) (i32.const 14)) (i32.const 0x3FC)))
              (i32.load offset=0 (i32.and (i32.shr_u (local.get $a) (i32.const 22)) (i32.const 0x3FC))))))
        (local.set $at (i32.add (local.get $at) (i32.const 4)))
        (br $next)))
    (block $no_byte
      (loop $next
        (br_if $no_byte (i32.eq (local.get $at) (local.get $end)))
        (local.set $crc (i32.xor
          (i32.load
            (i32.and
              (i32.shl (i32.xor (local.get $crc) (i32.load8_u (local.get $at))) (i32.const 2))
              (i32.const 0x3FC)))
          (i32.shr_u (local.get $crc) (i32.const 8))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (local.get $crc)))
