package world

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// ports remembers what was given out: scenarios run side by side, and a process that is
// down must find its port free when it comes back.
var ports = struct {
	sync.Mutex
	given map[int]bool
}{given: map[int]bool{}}

// freePort picks a port below the range from which systems choose those of outgoing
// connections. A cluster node takes a second one, 10,000 above.
func freePort(ctx context.Context) (int, error) {
	ports.Lock()
	defer ports.Unlock()
	var err error
	for range 200 {
		port := 12000 + rand.IntN(10000) //nolint:gosec // a port number is no secret
		if ports.given[port] {
			continue
		}
		var l net.Listener
		if l, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(port)); err != nil {
			continue
		}
		ports.given[port] = true
		return port, l.Close()
	}
	return 0, fmt.Errorf("no free port: %w", err)
}

func local(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }
