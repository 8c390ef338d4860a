# %% [markdown]
# # The lesson "Hands-On MNIST-MLP", on firesteel
#
# This is the code of the Databricks lesson of that name (SDS-2.x, Scalable Data Engineering Science, after notebooks
# by Adam Breindel). Three import lines say `firesteel` instead of `keras`, two paths name local files, and Databricks's
# `display(fig)` became `plt.show()`. Nothing else has changed: Python 2's empty `print` and the unscaled pixels are
# still there.
#
# The files contain MNIST's digits as LIBSVM text. This command writes them in a few seconds:
#
# ```console
# $ firesteel data convert mnist mnist-digits --to libsvm
# ```

# %%
from firesteel.models import Sequential
from firesteel.layers import Dense
from firesteel.utils import to_categorical
import sklearn.datasets
import datetime
import matplotlib.pyplot as plt
import numpy as np

train_libsvm = "mnist-digits/mnist-digits-train.txt"
test_libsvm = "mnist-digits/mnist-digits-test.txt"

X_train, y_train = sklearn.datasets.load_svmlight_file(train_libsvm, n_features=784)
X_train = X_train.toarray()

X_test, y_test = sklearn.datasets.load_svmlight_file(test_libsvm, n_features=784)
X_test = X_test.toarray()

model = Sequential()
model.add(Dense(20, input_dim=784, kernel_initializer='normal', activation='relu'))
model.add(Dense(15, kernel_initializer='normal', activation='relu'))
model.add(Dense(10, kernel_initializer='normal', activation='softmax'))
model.compile(loss='categorical_crossentropy', optimizer='adam', metrics=['categorical_accuracy'])

categorical_labels = to_categorical(y_train, num_classes=10)
start = datetime.datetime.today()

history = model.fit(X_train, categorical_labels, epochs=40, batch_size=100, validation_split=0.1, verbose=2)

scores = model.evaluate(X_test, to_categorical(y_test, num_classes=10))

print
for i in range(len(model.metrics_names)):
    print("%s: %f" % (model.metrics_names[i], scores[i]))

print ("Start: " + str(start))
end = datetime.datetime.today()
print ("End: " + str(end))
print ("Elapse: " + str(end-start))

# %% [markdown]
# The training loss falls from the first epoch to the last. The loss on the 6,000 validation rows falls for about ten
# epochs and then rises: the network over-fits.

# %%
import matplotlib.pyplot as plt

fig, ax = plt.subplots()
fig.set_size_inches((5,5))
plt.plot(history.history['loss'])
plt.plot(history.history['val_loss'])
plt.title('model loss')
plt.ylabel('loss')
plt.xlabel('epoch')
plt.legend(['train', 'val'], loc='upper left')
plt.show()
