// Command volume-provisioner makes the volumes that claims ask for, as folders of this machine, and removes them with
// their claim. The storage class says whether pods of every node may use a volume, or those of one node.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

type provisioner struct {
	folder string
}

// Provision makes a folder and describes it as a `local` volume, so that kubelet gives it to the pod's fsGroup.
func (p provisioner) Provision(_ context.Context, options controller.ProvisionOptions) (*v1.PersistentVolume, controller.ProvisioningState, error) {
	claim, class := options.PVC, options.StorageClass
	if claim.Spec.Selector != nil {
		return nil, controller.ProvisioningFinished, errors.New("a volume that is made for a claim has no labels: remove the claim's selector")
	}
	allowed := strings.Split(class.Parameters["accessModes"], ",")
	for _, mode := range claim.Spec.AccessModes {
		if !slices.Contains(allowed, string(mode)) {
			return nil, controller.ProvisioningFinished, fmt.Errorf("storage class %s has no access mode %s, only %s", class.Name, mode, strings.Join(allowed, ", "))
		}
	}
	path := filepath.Join(p.folder, options.PVName)
	// As in a new file system, only root and the pod's fsGroup may write.
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	// `local` volumes must name nodes; a volume that is bound before its pod is scheduled is for all of them.
	nodes := v1.NodeSelectorRequirement{Key: v1.LabelOSStable, Operator: v1.NodeSelectorOpIn, Values: []string{"linux"}}
	if options.SelectedNodeName != "" {
		nodes = v1.NodeSelectorRequirement{Key: v1.LabelHostname, Operator: v1.NodeSelectorOpIn, Values: []string{options.SelectedNodeName}}
	}
	terms := []v1.NodeSelectorTerm{{MatchExpressions: []v1.NodeSelectorRequirement{nodes}}}
	return &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: options.PVName},
		Spec: v1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *class.ReclaimPolicy,
			AccessModes:                   claim.Spec.AccessModes,
			Capacity:                      v1.ResourceList{v1.ResourceStorage: claim.Spec.Resources.Requests[v1.ResourceStorage]},
			PersistentVolumeSource:        v1.PersistentVolumeSource{Local: &v1.LocalVolumeSource{Path: path}},
			NodeAffinity:                  &v1.VolumeNodeAffinity{Required: &v1.NodeSelector{NodeSelectorTerms: terms}},
		},
	}, controller.ProvisioningFinished, nil
}

// Delete removes the folder of a volume.
func (p provisioner) Delete(_ context.Context, volume *v1.PersistentVolume) error {
	path := filepath.Join(p.folder, volume.Name)
	if volume.Spec.Local == nil || volume.Spec.Local.Path != path {
		return &controller.IgnoredError{Reason: "its folder is not " + path}
	}
	return os.RemoveAll(path)
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "file with the API server's address and this program's credentials")
	folder := flag.String("folder", "", "where the volumes' folders are made")
	name := flag.String("name", "", "the provisioner's name in storage classes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	// There is one replica, so no leader election; a failed claim is tried again for as long as it exists.
	controller.NewProvisionController(
		ctx, kubernetes.NewForConfigOrDie(config), *name, provisioner{folder: *folder},
		controller.LeaderElection(false), controller.FailedProvisionThreshold(0), controller.FailedDeleteThreshold(0),
	).Run(ctx)
}
