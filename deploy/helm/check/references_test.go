package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// selected gives the roles of the pods that a selector takes in, in order; "" is the
// pod of `helm test`.
func selected(t *testing.T, m *manifests, selector *meta.LabelSelector) []string {
	t.Helper()
	out := []string{}
	for _, p := range pods(t, m) {
		if selects(t, selector, p.meta.Labels) {
			out = append(out, p.role)
		}
	}
	slices.Sort(out)
	return out
}

func want(t *testing.T, of string, got []string, roles ...string) {
	t.Helper()
	if !slices.Equal(got, roles) {
		t.Errorf("%s selects the pods %q, not %q", of, got, roles)
	}
}

func TestSelectorsTakeInTheirPods(t *testing.T) {
	each(t, func(t *testing.T, m *manifests) {
		for _, d := range all[*apps.Deployment](m) {
			role := d.Spec.Template.Labels["app.kubernetes.io/component"]
			want(t, "Deployment "+d.Name, selected(t, m, d.Spec.Selector), role)
			for _, c := range d.Spec.Template.Spec.TopologySpreadConstraints {
				if got := selected(t, m, c.LabelSelector); !slices.Contains(got, role) {
					t.Errorf("a spread constraint of %s selects the pods %q", d.Name, got)
				}
			}
		}
		for _, b := range all[*policy.PodDisruptionBudget](m) {
			want(t, "PodDisruptionBudget "+b.Name, selected(t, m, b.Spec.Selector), b.Labels["app.kubernetes.io/component"])
		}
		for _, n := range all[*networking.NetworkPolicy](m) {
			want(t, "NetworkPolicy "+n.Name, selected(t, m, &n.Spec.PodSelector), n.Labels["app.kubernetes.io/component"])
		}
		for _, s := range all[*core.Service](m) {
			roles := []string{"gateway"}
			if s.Labels["app.kubernetes.io/component"] == "admin" {
				roles = []string{"gateway", "worker"}
			}
			want(t, "Service "+s.Name, selected(t, m, &meta.LabelSelector{MatchLabels: s.Spec.Selector}), roles...)
			for _, port := range s.Spec.Ports {
				for _, p := range pods(t, m) {
					if _, ok := p.portNamed(port.TargetPort.StrVal); slices.Contains(roles, p.role) && !ok {
						t.Errorf("Service %s leads to the port %q, which %s has not", s.Name, port.TargetPort.StrVal, p.name)
					}
				}
			}
		}
	})
}

// TestOneAutoscaler: what scales a Deployment is there once, and the Deployment leaves
// the number of its pods to it.
func TestOneAutoscaler(t *testing.T) {
	each(t, func(t *testing.T, m *manifests) {
		scalers := map[string]int{}
		for _, h := range all[*autoscaling.HorizontalPodAutoscaler](m) {
			ref := h.Spec.ScaleTargetRef
			if ref.Kind != "Deployment" || ref.APIVersion != "apps/v1" {
				t.Errorf("HorizontalPodAutoscaler %s is for %+v", h.Name, ref)
			}
			d := named[*apps.Deployment](t, m, ref.Name)
			if d != nil && d.Spec.Template.Spec.Containers[0].Resources.Requests.Cpu().IsZero() {
				t.Errorf("HorizontalPodAutoscaler %s aims at a part of the CPU that is asked for, and none is", h.Name)
			}
			scalers[ref.Name]++
		}
		for _, s := range all[*scaledObject](m) {
			named[*apps.Deployment](t, m, s.Spec.ScaleTargetRef.Name)
			scalers[s.Spec.ScaleTargetRef.Name]++
			if s.Spec.MinReplicaCount == nil || *s.Spec.MinReplicaCount < 1 {
				t.Errorf("ScaledObject %s may leave no worker for retries and polls", s.Name)
			}
			if s.Spec.Triggers[0].Metadata.IgnoreNullValues != "false" {
				t.Errorf("ScaledObject %s takes away workers while Prometheus knows nothing", s.Name)
			}
			if query := s.Spec.Triggers[0].Metadata.Query; !strings.Contains(query, "headgate_oldest_pending_age_seconds") {
				t.Errorf("ScaledObject %s asks for %q", s.Name, query)
			}
		}
		for _, d := range all[*apps.Deployment](m) {
			if n := scalers[d.Name]; n > 1 || (n == 1) != (d.Spec.Replicas == nil) {
				t.Errorf("%s has %d autoscalers and replicas: %v", d.Name, n, d.Spec.Replicas)
			}
		}
	})
}

func TestWaysInLeadToTheService(t *testing.T) {
	each(t, func(t *testing.T, m *manifests) {
		for _, i := range all[*networking.Ingress](m) {
			for _, rule := range i.Spec.Rules {
				for _, p := range rule.HTTP.Paths {
					s := named[*core.Service](t, m, p.Backend.Service.Name)
					if !slices.ContainsFunc(s.Spec.Ports, func(port core.ServicePort) bool { return port.Name == p.Backend.Service.Port.Name }) {
						t.Errorf("Ingress %s leads to the port %q of %s", i.Name, p.Backend.Service.Port.Name, s.Name)
					}
				}
			}
		}
		for _, r := range all[*gateway.HTTPRoute](m) {
			for _, rule := range r.Spec.Rules {
				for _, b := range rule.BackendRefs {
					s := named[*core.Service](t, m, string(b.Name))
					if s.Spec.Ports[0].Port != *b.Port {
						t.Errorf("HTTPRoute %s leads to the port %d of %s", r.Name, *b.Port, s.Name)
					}
				}
			}
		}
	})
}

// TestMonitorsFindThePods, and show the token that the pods ask for.
func TestMonitorsFindThePods(t *testing.T) {
	each(t, func(t *testing.T, m *manifests) {
		check := func(of, port string, auth *monitoring.SafeAuthorization, relabelings []monitoring.RelabelConfig) {
			if job := relabelings[0]; job.TargetLabel != "job" || !strings.HasPrefix(*job.Replacement, namespace+"/") {
				t.Errorf("%s does not say whose pods they are: %+v", of, job)
			}
			for _, s := range all[*scaledObject](m) {
				if s.Spec.Triggers[0].Metadata.IgnoreNullValues != "false" {
					t.Errorf("ScaledObject %s takes away workers while Prometheus knows nothing", s.Name)
				}
				if query := s.Spec.Triggers[0].Metadata.Query; !strings.Contains(query, `{job="`+*relabelings[0].Replacement+`"}`) {
					t.Errorf("ScaledObject %s asks for other pods than %s scrapes: %s", s.Name, of, query)
				}
			}
			for _, p := range pods(t, m) {
				if p.role == "" {
					continue
				}
				if _, ok := p.portNamed(port); !ok {
					t.Errorf("%s scrapes the port %q, which %s has not", of, port, p.name)
				}
				env := p.container().Env
				i := slices.IndexFunc(env, func(e core.EnvVar) bool { return e.Name == "HEADGATE_ADMIN_TOKEN" })
				if i < 0 || env[i].ValueFrom == nil || *env[i].ValueFrom.SecretKeyRef != *auth.Credentials {
					t.Errorf("%s shows %v and %s asks for %+v", of, auth.Credentials, p.name, env)
				}
			}
		}
		for _, s := range all[*monitoring.ServiceMonitor](m) {
			var found []string
			for _, service := range all[*core.Service](m) {
				if !selects(t, &s.Spec.Selector, service.Labels) {
					continue
				}
				found = append(found, service.Name)
				for _, e := range s.Spec.Endpoints {
					i := slices.IndexFunc(service.Spec.Ports, func(p core.ServicePort) bool { return p.Name == e.Port })
					if i < 0 {
						t.Fatalf("ServiceMonitor %s scrapes the port %q of %s", s.Name, e.Port, service.Name)
					}
					check("ServiceMonitor "+s.Name, service.Spec.Ports[i].TargetPort.StrVal, e.Authorization, e.RelabelConfigs)
				}
			}
			if len(found) != 1 {
				t.Errorf("ServiceMonitor %s selects the Services %v", s.Name, found)
			}
		}
		for _, p := range all[*monitoring.PodMonitor](m) {
			want(t, "PodMonitor "+p.Name, selected(t, m, &p.Spec.Selector), "gateway", "worker")
			for _, e := range p.Spec.PodMetricsEndpoints {
				check("PodMonitor "+p.Name, *e.Port, e.Authorization, e.RelabelConfigs)
			}
		}
	})
}

// TestPoliciesLetTheTestIn, and name ports that the pods have.
func TestPoliciesLetTheTestIn(t *testing.T) {
	each(t, func(t *testing.T, m *manifests) {
		for _, n := range all[*networking.NetworkPolicy](m) {
			letIn, others := false, 0
			for _, rule := range n.Spec.Ingress {
				for _, port := range rule.Ports {
					for _, p := range pods(t, m) {
						if _, ok := p.portNamed(port.Port.StrVal); p.role == n.Labels["app.kubernetes.io/component"] && (port.Port.Type != intstr.String || !ok) {
							t.Errorf("NetworkPolicy %s opens the port %s, which %s has not", n.Name, port.Port, p.name)
						}
					}
					for _, peer := range rule.From {
						switch {
						case port.Port.StrVal != "admin":
						case peer.PodSelector != nil && peer.NamespaceSelector == nil:
							letIn = letIn || slices.Equal(selected(t, m, peer.PodSelector), []string{""})
						default:
							others++
						}
					}
					if port.Port.StrVal == "admin" && len(rule.From) == 0 {
						t.Errorf("NetworkPolicy %s opens the admin port to all", n.Name)
					}
				}
			}
			if !letIn {
				t.Errorf("NetworkPolicy %s keeps `helm test` out", n.Name)
			}
			if scraped := len(all[*monitoring.ServiceMonitor](m)) + len(all[*monitoring.PodMonitor](m)); scraped > 0 && others == 0 {
				t.Errorf("NetworkPolicy %s keeps Prometheus out", n.Name)
			}
		}
		for _, p := range all[*core.Pod](m) {
			url := p.Spec.Containers[0].Args[len(p.Spec.Containers[0].Args)-1]
			s := named[*core.Service](t, m, strings.TrimSuffix(p.Name, "-test")+"-admin")
			if expect := fmt.Sprintf("http://%s.%s:%d", s.Name, namespace, s.Spec.Ports[0].Port); url != expect {
				t.Errorf("`helm test` asks %s, not %s", url, expect)
			}
		}
	})
}

// TestPoliciesOpenThePortsInUse: Redis's are read from its URL, those of the collector and of
// Prometheus from theirs.
func TestPoliciesOpenThePortsInUse(t *testing.T) {
	for set, expect := range map[string][]int32{
		"sentinel-tls": {53, 53, 6379, 26379, 443},
		"cluster-keda": {53, 53, 6379, 6380, 443, 8443, 4318},
		"everything":   {53, 53, 5353, 5353, 6390, 443, 443, 9091, 8200},
	} {
		m := render(t, "--values", sets(t)[set])
		for _, n := range all[*networking.NetworkPolicy](m) {
			var got []int32
			for _, rule := range n.Spec.Egress {
				for _, port := range rule.Ports {
					got = append(got, port.Port.IntVal)
				}
			}
			if !slices.Equal(got, expect) {
				t.Errorf("%s: NetworkPolicy %s opens the ports %v, not %v", set, n.Name, got, expect)
			}
		}
	}
}

// outside are the objects that the sets of values take from others.
var outside = []string{"environment", "routes-crm", "routes-shop"}

// TestWhatPodsNameIsThere: ConfigMaps, volumes of them, and the ServiceAccount.
func TestWhatPodsNameIsThere(t *testing.T) {
	each(t, func(t *testing.T, m *manifests) {
		for _, p := range pods(t, m) {
			for _, v := range p.spec.Volumes {
				if v.ConfigMap != nil && !slices.Contains(outside, v.ConfigMap.Name) {
					named[*core.ConfigMap](t, m, v.ConfigMap.Name)
				}
			}
			for _, from := range p.container().EnvFrom {
				if from.ConfigMapRef != nil && !slices.Contains(outside, from.ConfigMapRef.Name) {
					named[*core.ConfigMap](t, m, from.ConfigMapRef.Name)
				}
			}
			account := p.spec.ServiceAccountName
			if made := all[*core.ServiceAccount](m); p.role != "" && len(made) > 0 && !has[*core.ServiceAccount](m, account) {
				t.Errorf("%s runs as %q, and the chart makes %s", p.name, account, made[0].Name)
			}
		}
	})
}

// TestRunbooksAreWhereTheOperatorSays, once the chart has alerts that name any.
func TestRunbooksAreWhereTheOperatorSays(t *testing.T) {
	m := render(t, "--values", sets(t)["everything"])
	rules := all[*monitoring.PrometheusRule](m)
	if len(rules) != 1 {
		t.Fatalf("%d PrometheusRules are rendered", len(rules))
	}
	for _, group := range rules[0].Spec.Groups {
		for _, rule := range group.Rules {
			if url := rule.Annotations["runbook_url"]; rule.Alert != "" && !strings.HasPrefix(url, "https://git.example.com/gateway/docs/runbooks/") {
				t.Errorf("the run-book of %s is at %q", rule.Alert, url)
			}
		}
	}
	for _, c := range all[*core.ConfigMap](m) {
		for file, text := range c.Data {
			if strings.HasSuffix(file, ".json") && c.Labels["grafana_dashboard"] != "" && !strings.Contains(text, `"https://git.example.com/gateway/docs"`) {
				t.Errorf("the links of %s lead elsewhere", file)
			}
		}
	}
}
