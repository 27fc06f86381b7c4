;; Works on file content in memory: XXH64 of blocks, and PostgreSQL's page checksums.
;; Built by scripts/build-wasm.ts into page-kernel-wasm.ts; a test rebuilds it and compares.
(module
  (import "env" "memory" (memory 1))

  ;; The input lies behind the first memory page, so that it is aligned for direct I/O. Results go to the first page: up
  ;; to 8192 hashes or 16384 indexes.

  ;; Hashes $length bytes at $input in blocks of 8192 (the last one may be shorter) and puts one u64 for each at 0.
  (func (export "hash_blocks") (param $input i32) (param $length i32) (param $seed i64)
    (local $size i32) (local $out i32)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $length)))
        (local.set $size (select (local.get $length) (i32.const 8192) (i32.lt_u (local.get $length) (i32.const 8192))))
        (i64.store (local.get $out) (call $xxh64 (local.get $input) (local.get $size) (local.get $seed)))
        (local.set $out (i32.add (local.get $out) (i32.const 8)))
        (local.set $input (i32.add (local.get $input) (local.get $size)))
        (local.set $length (i32.sub (local.get $length) (local.get $size)))
        (br $next))))

  ;; XXH64 as in https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md. Its five primes:
  ;; 1: 0x9E3779B185EBCA87, 2: 0xC2B2AE3D27D4EB4F, 3: 0x165667B19E3779F9, 4: 0x85EBCA77C2B2AE63, 5: 0x27D4EB2F165667C5.
  (func $xxh64 (param $at i32) (param $length i32) (param $seed i64) (result i64)
    (local $end i32) (local $hash i64)
    (local $a i64) (local $b i64) (local $c i64) (local $d i64)
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (if (i32.ge_u (local.get $length) (i32.const 32))
      (then
        (local.set $a (i64.add (local.get $seed) (i64.add (i64.const 0x9E3779B185EBCA87) (i64.const 0xC2B2AE3D27D4EB4F))))
        (local.set $b (i64.add (local.get $seed) (i64.const 0xC2B2AE3D27D4EB4F)))
        (local.set $c (local.get $seed))
        (local.set $d (i64.sub (local.get $seed) (i64.const 0x9E3779B185EBCA87)))
        (loop $stripe
          (local.set $a (i64.mul (i64.rotl (i64.add (local.get $a)
            (i64.mul (i64.load (local.get $at)) (i64.const 0xC2B2AE3D27D4EB4F))) (i64.const 31)) (i64.const 0x9E3779B185EBCA87)))
          (local.set $b (i64.mul (i64.rotl (i64.add (local.get $b)
            (i64.mul (i64.load offset=8 (local.get $at)) (i64.const 0xC2B2AE3D27D4EB4F))) (i64.const 31)) (i64.const 0x9E3779B185EBCA87)))
          (local.set $c (i64.mul (i64.rotl (i64.add (local.get $c)
            (i64.mul (i64.load offset=16 (local.get $at)) (i64.const 0xC2B2AE3D27D4EB4F))) (i64.const 31)) (i64.const 0x9E3779B185EBCA87)))
          (local.set $d (i64.mul (i64.rotl (i64.add (local.get $d)
            (i64.mul (i64.load offset=24 (local.get $at)) (i64.const 0xC2B2AE3D27D4EB4F))) (i64.const 31)) (i64.const 0x9E3779B185EBCA87)))
          (local.set $at (i32.add (local.get $at) (i32.const 32)))
          (br_if $stripe (i32.ge_u (i32.sub (local.get $end) (local.get $at)) (i32.const 32))))
        (local.set $hash (i64.add
          (i64.add (i64.rotl (local.get $a) (i64.const 1)) (i64.rotl (local.get $b) (i64.const 7)))
          (i64.add (i64.rotl (local.get $c) (i64.const 12)) (i64.rotl (local.get $d) (i64.const 18)))))
        (local.set $hash (call $merge (local.get $hash) (local.get $a)))
        (local.set $hash (call $merge (local.get $hash) (local.get $b)))
        (local.set $hash (call $merge (local.get $hash) (local.get $c)))
        (local.set $hash (call $merge (local.get $hash) (local.get $d))))
      (else
        (local.set $hash (i64.add (local.get $seed) (i64.const 0x27D4EB2F165667C5)))))
    (call $finish
      (i64.add (local.get $hash) (i64.extend_i32_u (local.get $length)))
      (local.get $at)
      (local.get $end)))

  (func $round (param $input i64) (result i64)
    (i64.mul
      (i64.rotl (i64.mul (local.get $input) (i64.const 0xC2B2AE3D27D4EB4F)) (i64.const 31))
      (i64.const 0x9E3779B185EBCA87)))

  (func $merge (param $hash i64) (param $lane i64) (result i64)
    (i64.add
      (i64.mul (i64.xor (local.get $hash) (call $round (local.get $lane))) (i64.const 0x9E3779B185EBCA87))
      (i64.const 0x85EBCA77C2B2AE63)))

  ;; The bytes after the last whole stripe of 32, then the avalanche.
  (func $finish (param $hash i64) (param $at i32) (param $end i32) (result i64)
    (block $no_eight
      (loop $eight
        (br_if $no_eight (i32.lt_u (i32.sub (local.get $end) (local.get $at)) (i32.const 8)))
        (local.set $hash (i64.xor (local.get $hash) (call $round (i64.load (local.get $at)))))
        (local.set $hash (i64.add
          (i64.mul (i64.rotl (local.get $hash) (i64.const 27)) (i64.const 0x9E3779B185EBCA87))
          (i64.const 0x85EBCA77C2B2AE63)))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br $eight)))
    (if (i32.ge_u (i32.sub (local.get $end) (local.get $at)) (i32.const 4))
      (then
        (local.set $hash (i64.xor (local.get $hash)
          (i64.mul (i64.load32_u (local.get $at)) (i64.const 0x9E3779B185EBCA87))))
        (local.set $hash (i64.add
          (i64.mul (i64.rotl (local.get $hash) (i64.const 23)) (i64.const 0xC2B2AE3D27D4EB4F))
          (i64.const 0x165667B19E3779F9)))
        (local.set $at (i32.add (local.get $at) (i32.const 4)))))
    (block $no_byte
      (loop $byte
        (br_if $no_byte (i32.eq (local.get $at) (local.get $end)))
        (local.set $hash (i64.xor (local.get $hash)
          (i64.mul (i64.load8_u (local.get $at)) (i64.const 0x27D4EB2F165667C5))))
        (local.set $hash (i64.mul (i64.rotl (local.get $hash) (i64.const 11)) (i64.const 0x9E3779B185EBCA87)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $byte)))
    (local.set $hash (i64.mul
      (i64.xor (local.get $hash) (i64.shr_u (local.get $hash) (i64.const 33)))
      (i64.const 0xC2B2AE3D27D4EB4F)))
    (local.set $hash (i64.mul
      (i64.xor (local.get $hash) (i64.shr_u (local.get $hash) (i64.const 29)))
      (i64.const 0x165667B19E3779F9)))
    (i64.xor (local.get $hash) (i64.shr_u (local.get $hash) (i64.const 32))))

  ;; Checks $count pages of 8192 bytes at $input, the first of which is block $block of its relation fork. Puts the
  ;; index of every bad one as a u32 at 0 and gives their number. PageIsVerified in storage/page/bufpage.c: a page
  ;; with pd_upper 0 has never been initialised and must be zero throughout; every other one must match its checksum.
  (func (export "check_pages") (param $input i32) (param $count i32) (param $block i32) (result i32)
    (local $index i32) (local $bad i32) (local $is_good i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $index) (local.get $count)))
        (if (i32.load16_u offset=14 (local.get $input))
          (then
            (local.set $is_good (i32.eq
              (i32.load16_u offset=8 (local.get $input))
              (call $checksum (local.get $input) (i32.add (local.get $block) (local.get $index))))))
          (else
            (local.set $is_good (call $is_zero (local.get $input)))))
        (if (i32.eqz (local.get $is_good))
          (then
            (i32.store (i32.shl (local.get $bad) (i32.const 2)) (local.get $index))
            (local.set $bad (i32.add (local.get $bad) (i32.const 1)))))
        (local.set $input (i32.add (local.get $input) (i32.const 8192)))
        (local.set $index (i32.add (local.get $index) (i32.const 1)))
        (br $next)))
    (local.get $bad))

  (func $is_zero (param $page i32) (result i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $page) (i32.const 8192)))
    (loop $next
      (if (v128.any_true (v128.or
            (v128.or (v128.load (local.get $page)) (v128.load offset=16 (local.get $page)))
            (v128.or (v128.load offset=32 (local.get $page)) (v128.load offset=48 (local.get $page)))))
        (then (return (i32.const 0))))
      (local.set $page (i32.add (local.get $page) (i32.const 64)))
      (br_if $next (i32.lt_u (local.get $page) (local.get $end))))
    (i32.const 1))

  ;; pg_checksum_page in storage/checksum_impl.h: 32 sums side by side, here in eight vectors of four. A sum takes up a
  ;; word by t = sum ^ word; sum = t * 16777619 ^ t >> 17. The page's own checksum (bytes 8 and 9) counts as zero.
  (func $checksum (param $page i32) (param $block i32) (result i32)
    (local $end i32) (local $first v128) (local $t v128) (local $prime v128)
    (local $s0 v128) (local $s1 v128) (local $s2 v128) (local $s3 v128)
    (local $s4 v128) (local $s5 v128) (local $s6 v128) (local $s7 v128)
    (local.set $prime (i32x4.splat (i32.const 16777619)))
    (local.set $s0 (v128.const i32x4 0x5B1F36E9 0xB8525960 0x02AB50AA 0x1DE66D2A))
    (local.set $s1 (v128.const i32x4 0x79FF467A 0x9BB9F8A3 0x217E7CD2 0x83E13D2C))
    (local.set $s2 (v128.const i32x4 0xF8D4474F 0xE39EB970 0x42C6AE16 0x993216FA))
    (local.set $s3 (v128.const i32x4 0x7B093B5D 0x98DAFF3C 0xF718902A 0x0B1C9CDB))
    (local.set $s4 (v128.const i32x4 0xE58F764B 0x187636BC 0x5D7B3BB1 0xE73DE7DE))
    (local.set $s5 (v128.const i32x4 0x92BEC979 0xCCA6C0B2 0x304A0979 0x85AA43D4))
    (local.set $s6 (v128.const i32x4 0x783125BB 0x6CA8EAA2 0xE407EAC6 0x4B5CFC3E))
    (local.set $s7 (v128.const i32x4 0x9FBF8C76 0x15CA20BE 0xF2CA9FD3 0x959BD756))
    (local.set $end (i32.add (local.get $page) (i32.const 8192)))
    (local.set $first (v128.and
      (v128.load (local.get $page))
      (v128.const i32x4 0xFFFFFFFF 0xFFFFFFFF 0xFFFF0000 0xFFFFFFFF)))
    (loop $row
      (local.set $t (v128.xor (local.get $s0) (local.get $first)))
      (local.set $s0 (v128.xor (i32x4.mul (local.get $t) (local.get $prime)) (i32x4.shr_u (local.get $t) (i32.const 17))))
      (local.set $t (v128.xor (local.get $s1) (v128.load offset=16 (local.get $page))))
      (local.set $s1 (v128.xor (i32x4.mul (local.get $t) (local.get $prime)) (i32x4.shr_u (local.get $t) (i32.const 17))))
      (local.set $t (v128.xor (local.get $s2) (v128.load offset=32 (local.get $page))))
      (local.set $s2 (v128.xor (i32x4.mul (local.get $t) (local.get $prime)) (i32x4.shr_u (local.get $t) (i32.const 17))))
      (local.set $t (v128.xor (local.get $s3) (v128.load offset=48 (local.get $page))))
      (local.set $s3 (v128.xor (i32x4.mul (local.get $t) (local.get $prime)) (i32x4.shr_u (local.get $t) (i32.const 17))))
      (local.set $t (v128.xor (local.get $s4) (v128.load offset=64 (local.get $page))))
      (local.set $s4 (v128.xor (i32x4.mul (local.get $t) (local.get $prime)) (i32x4.shr_u (local.get $t) (i32.const 17))))
      (local.set $t (v128.xor (local.get $s5) (v128.load offset=80 (local.get $page))))
      (local.set $s5 (v128.xor (i32x4.mul (local.get $t) (local.get $prime)) (i32x4.shr_u (local.get $t) (i32.const 17))))
      (local.set $t (v128.xor (local.get $s6) (v128.load offset=96 (local.get $page))))
      (local.set $s6 (v128.xor (i32x4.mul (local.get $t) (local.get $prime)) (i32x4.shr_u (local.get $t) (i32.const 17))))
      (local.set $t (v128.xor (local.get $s7) (v128.load offset=112 (local.get $page))))
      (local.set $s7 (v128.xor (i32x4.mul (local.get $t) (local.get $prime)) (i32x4.shr_u (local.get $t) (i32.const 17))))
      (local.set $page (i32.add (local.get $page) (i32.const 128)))
      (if (i32.lt_u (local.get $page) (local.get $end))
        (then
          (local.set $first (v128.load (local.get $page)))
          (br $row))))
    ;; Two rounds of zeroes, then all sums into one.
    (local.set $t (v128.xor
      (v128.xor
        (v128.xor (call $settle (local.get $s0)) (call $settle (local.get $s1)))
        (v128.xor (call $settle (local.get $s2)) (call $settle (local.get $s3))))
      (v128.xor
        (v128.xor (call $settle (local.get $s4)) (call $settle (local.get $s5)))
        (v128.xor (call $settle (local.get $s6)) (call $settle (local.get $s7))))))
    (i32.add
      (i32.rem_u
        (i32.xor
          (local.get $block)
          (i32.xor
            (i32.xor (i32x4.extract_lane 0 (local.get $t)) (i32x4.extract_lane 1 (local.get $t)))
            (i32.xor (i32x4.extract_lane 2 (local.get $t)) (i32x4.extract_lane 3 (local.get $t)))))
        (i32.const 65535))
      (i32.const 1)))

  (func $settle (param $sum v128) (result v128)
    (local.set $sum (v128.xor
      (i32x4.mul (local.get $sum) (i32x4.splat (i32.const 16777619)))
      (i32x4.shr_u (local.get $sum) (i32.const 17))))
    (v128.xor
      (i32x4.mul (local.get $sum) (i32x4.splat (i32.const 16777619)))
      (i32x4.shr_u (local.get $sum) (i32.const 17)))))
