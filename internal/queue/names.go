// Package queue runs tasks by asynq: it implements dispatch.Queue and serves each
// target's queues with a server of its own. It is the only importer of asynq, and knows
// nothing of records: a task names a delivery, and the runner does the rest.
package queue

import (
	"strconv"
	"strings"

	"headgate/dispatch"
	"headgate/dispatch/tracking"
)

// The lanes of a target: three queues of one server.
const (
	resumeSuffix = ".resume" // deliveries that have begun: retries, next steps, polls
	bulkSuffix   = ".bulk"   // new ones of a tenant with more than its share pending
)

// lanes gives the queues of a target with their weights: what has begun goes first, so
// that a poll never waits behind a backlog of new deliveries. Where all three have
// tasks, 20 of 31 looks begin with what has begun, 10 with the target's own queue and one with
// bulk; against either of them alone, bulk gets one of 21 or of 11. So the tenant with the
// backlog takes few slots from the others, and is never left without any. asynq's strict
// order of queues would leave it without.
func lanes(target string) map[string]int {
	return map[string]int{target + resumeSuffix: 20, target: 10, target + bulkSuffix: 1}
}

// lane gives the queue a task belongs into.
func lane(t dispatch.Task) string {
	switch {
	case t.Lane == tracking.LaneBulk:
		return t.Target + bulkSuffix
	case t.Begun():
		return t.Target + resumeSuffix
	}
	return t.Target
}

// TargetOf gives the target that a queue serves.
func TargetOf(queue string) string {
	queue = strings.TrimSuffix(queue, resumeSuffix)
	return strings.TrimSuffix(queue, bulkSuffix)
}

// taskID names a run: <tracking>:<target>:<seq>.
func taskID(t dispatch.Task) string {
	return t.Tracking + ":" + t.Target + ":" + strconv.Itoa(t.Seq)
}

func parseTaskID(id string) (dispatch.Task, bool) {
	parts := strings.Split(id, ":")
	if len(parts) != 3 {
		return dispatch.Task{}, false
	}
	seq, err := strconv.Atoi(parts[2])
	return dispatch.Task{Ref: tracking.Ref{Tracking: parts[0], Target: parts[1]}, Seq: seq}, err == nil
}
