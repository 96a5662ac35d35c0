package gateway

import (
	"fmt"
	"net/http"
	"time"

	"headgate/dispatch"
)

// noRoom answers a request that there is no room for, before anything of it was written.
func (c *call) noRoom(full *dispatch.FullError) *answer {
	c.note.reason = full.Error()
	slug, status, detail := "storage-full", http.StatusServiceUnavailable, "The store is as full as it may be."
	switch full.What {
	case dispatch.MemoryFull:
	case dispatch.BacklogFull:
		slug = "backlog-full"
		detail = fmt.Sprintf("The backlog of target %s is full: %d deliveries have not ended.", full.Target, full.Limit)
	case dispatch.Draining:
		slug, detail = "target-draining", fmt.Sprintf("Target %s takes no more requests for now: an operator drains it.", full.Target)
	case dispatch.TenantFull:
		slug, status = "tenant-backlog-full", http.StatusTooManyRequests
		detail = fmt.Sprintf("%d of your deliveries to target %s have not ended, which is as many as you may have.", full.Limit, full.Target)
	}
	after := max(full.After, time.Second)
	detail += fmt.Sprintf(" Nothing was recorded. Repeat the request, with the same Idempotency-Key if it has one, in %s seconds or later.", seconds(after))
	return problem(slug, status, detail).retryAfter(after)
}
