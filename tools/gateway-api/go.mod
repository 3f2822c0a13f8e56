// Only a file of the module is used, the definition of HTTPRoutes: nothing of it is built.
module tierup.local/tools/gateway-api

go 1.26

require sigs.k8s.io/gateway-api v1.6.3
