// Package redisstore keeps the records of dispatches in Redis: it implements
// tracking.Store, and nothing more. It knows neither the queue nor the gateway.
//
// Every key of a record carries its shard as a hash tag, so that each script works
// within one slot of a cluster.
package redisstore

import (
	"fmt"
	"strconv"
	"strings"

	"headgate/dispatch/tracking"
)

// keys are all keys of ours, for one deployment's prefix:
//
//	hg:{07}:rec:<id>          hash    a: accepted at, ms
//	                                  n: the tenant, whose counts it changes; r: the route; p: its parameters as
//	                                  JSON; w: the traceparent; u: the rule, unless it is all
//	                                  l0, l1, …: names of the targets, one a line, after + or, when optional, ?
//	                                  o: deliveries that are not final
//	                                  x: "<retention ms> <idem until, ms>"; k: idem hash
//	                                  d: there, when it has or had a dead letter
//	                                  c: of a batch that collects: its row in gathering; b: bytes of its records
//	                                  e:<target>: there, when a callback came that no poll has answered to
//	                                  t:<target>: the delivery as in codec.go; its letter is the phase, or n
//	                                  or b for one that is queued and has not begun
//	hg:{07}:pay:<id>          hash    <target>: what the gateway mapped
//	hg:{07}:due               zset    <id>:<target> by ms: next at, or held by a batch until, or
//	                                  ended, and somebody else sees to its leaving its line from then on
//	hg:{07}:running           zset    <id>:<target> by ms: claimed by a run until
//	hg:{07}:queued:<target>   list    <id>: its task should be in the queue, since when its value says;
//	                                  those of the other lanes in queued:<target>.bulk and .resume
//	hg:{07}:dead              zset    <id>:<target> by ms: a dead letter, since when
//	hg:{07}:open              hash    <target>:<plan>: deliveries that are not final
//	hg:{07}:gathering         hash    <target>:<plan>: the batch that is collecting
//	hg:{07}:flight:<target>   zset    <id>: batches under way, by ms: begun at; for targets with a bound
//	hg:{07}:standby:<target>  zset    <id>: batches that wait until one of those has ended, by ms: begun at
//	hg:{07}:members:<id>      zset    <id of a record> by position: on the list of the batch <id>
//	hg:{07}:line:<line>       zset    <id of a record> by when it entered, ms: those of one key, in order
//	hg:{07}:jobs:<target>     zset    <id>: deliveries and batches whose backend's job is waited for, by ms: since when
//	hg:{07}:figures           hash    d:<target>: its dead letters; w:<target>: its jobs that are waited for
//	hg:{07}:tenants           hash    o:<target>:<tenant>: its deliveries that are not final
//	                                  n:<target>:<tenant>: those of them that have not begun
//	hg:{07}:idem:<hash>       string  the row of an idempotency key as JSON
//	hg:{07}:ack               string  written so that a WAIT covers what was written before
//	hg:{07}:doctor            none    never there: what headgate doctor tries to write to, and its channel
//	hg:{07}:done:<id>         channel a delivery of the record became final
//	hg:owners                 hash    <owner>: signs of life of a worker process so far
//	hg:plan:<hash>            string  a plan's source
//	hg:flow                   hash    what holds targets back; nothing while all goes well
//	                                  open:<target>: "<times in a row> <until, ms>", the breaker
//	                                  probe:<target>: "<until, ms> <worker>", the right to probe
//	                                  hold:<target>: new deliveries wait until, ms
//	                                  paused:<target> or draining:<target>: "<since, ms> <who and why, as JSON>"
//	hg:flow:changed           channel a target whose row in hg:flow changed
//	hg:rate:<target>          string  when the next token of its rate is due, µs
//	hg:callbackkey            string  what the tokens of callbacks are sealed with
//	hg:token:<name>           string  an access token for calls to targets, sealed by whoever fetched it
//	hg:tokenlock:<name>       string  who fetches it at the moment
const prefix = "hg:"

var shardPrefix = func() (out [tracking.Shards]string) {
	for i := range out {
		out[i] = fmt.Sprintf("%s{%02d}:", prefix, i)
	}
	return out
}()

// keysOf gives the shard's key prefix for a tracking ID.
func keysOf(id string) (string, error) {
	shard, ok := tracking.Shard(id)
	if !ok {
		return "", tracking.ErrNotFound
	}
	return shardPrefix[shard], nil
}

// lineKey gives the key of a line, which lies in a shard of its own.
func lineKey(line string) (string, bool) {
	shard, ok := tracking.LineShard(line)
	if !ok {
		return "", false
	}
	return shardPrefix[shard] + "line:" + line, true
}

// recordGlob matches the keys of all records.
const recordGlob = prefix + "{*}:rec:*"

func recordKey(shard, id string) string      { return shard + "rec:" + id }
func payloadKey(shard, id string) string     { return shard + "pay:" + id }
func dueKey(shard string) string             { return shard + "due" }
func runningKey(shard string) string         { return shard + "running" }
func deadKey(shard string) string            { return shard + "dead" }
func openKey(shard string) string            { return shard + "open" }
func queuedKey(shard, target string) string  { return shard + "queued:" + target }
func tenantsKey(shard string) string         { return shard + "tenants" }
func bulkKey(shard, target string) string    { return queuedKey(shard, target) + bulkSuffix }
func figuresKey(shard string) string         { return shard + "figures" }
func jobsKey(shard, target string) string    { return shard + "jobs:" + target }
func resumeKey(shard, target string) string  { return queuedKey(shard, target) + resumeSuffix }
func idemKey(shard, hash string) string      { return shard + "idem:" + hash }
func gatheringKey(shard string) string       { return shard + "gathering" }
func membersKey(shard, id string) string     { return shard + "members:" + id }
func flightKey(shard, target string) string  { return shard + "flight:" + target }
func standbyKey(shard, target string) string { return shard + "standby:" + target }
func endsKey(shard, id string) string        { return shard + "ends:" + id }
func markKey(shard string) string            { return shard + "ack" }
func doctorKey(shard string) string          { return shard + "doctor" }
func doneChannel(shard, id string) string    { return shard + "done:" + id }

// These end the keys of the rows of the other lanes; count.lua has them, too. No target's
// name has a dot.
const (
	bulkSuffix   = ".bulk"
	resumeSuffix = ".resume"
)

const ownersKey = prefix + "owners"

const callbackKey = prefix + "callbackkey"

const (
	flowKey     = prefix + "flow"
	flowChannel = prefix + "flow:changed"
)

func rateKey(target string) string { return prefix + "rate:" + target }

// No command and no script has both keys of a name, so they need not share a slot.
func tokenKey(name string) string     { return prefix + "token:" + name }
func tokenLockKey(name string) string { return prefix + "tokenlock:" + name }

func planKey(hash string) string { return prefix + "plan:" + hash }

func member(ref tracking.Ref) string { return ref.Tracking + ":" + ref.Target }

func splitMember(m string) (tracking.Ref, bool) {
	id, target, ok := strings.Cut(m, ":")
	return tracking.Ref{Tracking: id, Target: target}, ok
}

func openField(target, plan string) string { return target + ":" + plan }

func openTenantField(who tracking.TenantRef) string { return "o:" + who.Target + ":" + who.Tenant }
func newTenantField(who tracking.TenantRef) string  { return "n:" + who.Target + ":" + who.Tenant }

func splitOpenField(f string) (tracking.PlanRef, bool) {
	i := strings.LastIndexByte(f, ':') // a hash holds none
	if i < 0 {
		return tracking.PlanRef{}, false
	}
	return tracking.PlanRef{Target: f[:i], Hash: f[i+1:]}, true
}

func atoi64(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64) // written by our own scripts; a foreign value counts as zero
	return n
}
