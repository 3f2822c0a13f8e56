// Command network-policy-enforcer decides about the connections of a node's pods by the cluster's network policies. It
// runs the engine of sigs.k8s.io/kube-network-policies outside of a pod, in the node's network namespace.
package main

import (
	"context"
	"flag"
	"log"
	"os/signal"
	"syscall"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
)

const queue = 100 // of netfilter, in a network namespace that nobody else uses

func main() {
	kubeconfig := flag.String("kubeconfig", "", "file with the API server's address and this program's credentials")
	node := flag.String("node", "", "name of the node whose pods this is for")
	check := flag.Bool("check", false, "only add the rule to this network namespace: it shows whether the kernel can")
	flag.Parse()
	if err := queueForwarded(queue); err != nil {
		log.Fatalf("the kernel refuses nftables' rule with the target NFQUEUE: %v", err)
	}
	if *check {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	if err := run(ctx, kubernetes.NewForConfigOrDie(config), *node); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, client kubernetes.Interface, node string) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	core := factory.Core().V1()
	// Not NRIdisabled: then the first packet of a pod whose address is not in its status yet ends the process with a nil
	// pointer. A runtime without NRI is only logged.
	controller, err := networkpolicy.NewController(
		client, factory.Networking().V1().NetworkPolicies(), core.Namespaces(), core.Pods(), nil, nil, nil, nil,
		networkpolicy.Config{QueueID: queue, NodeName: node},
	)
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	return controller.Run(ctx)
}
