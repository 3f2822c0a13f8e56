// Only a file of the module is used, the definition of ScaledObjects: nothing of it is built.
module tierup.local/tools/keda

go 1.26

require github.com/kedacore/keda/v2 v2.21.0
